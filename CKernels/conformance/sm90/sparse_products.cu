// Probes of device/wgmma_sparse.h: both selectors of one register of metadata, b from shared memory.
//
// input    what is stored of a, [64][32] of 16 bits | metadata [4 warps][32 lanes] | b [128][64] of 16 bits
// output   d [64][128]

#include "conformance/probe.h"
#include "device/device.h"
#include "device/wgmma_sparse.h"

namespace gpu::conformance {
namespace {

constexpr int rows = 64, columns = 128, k_size = 64;
constexpr int a_words = rows * k_size / 4, metadata_words = 128, b_words = columns * k_size / 2;

/// variation 0: float16, else bfloat16.
template <class T>
GPU_KERNEL(128, 1)
sparse_warpgroup_kernel(ProbeArguments p) {
  GPU_SHARED(shared);
  const SharedAddress address = shared_address(shared), start = (address + 1023) / 1024 * 1024;
  // Rows of 128 bytes, their 16-byte chunks exchanged as Swizzle::bytes_128 does.
  auto* image = reinterpret_cast<uint32_t*>(shared + (start - address));
  for (int i = thread_index(); i < b_words; i += 128) {
    const int row = i / 32, word = i % 32;
    image[row * 32 + (word / 4 ^ row % 8) * 4 + word % 4] = p.input[a_words + metadata_words + i];
  }
  fence_async_proxy();
  sync_block();
  const int warp = warp_index(), g = lane_index() / 4, q = lane_index() % 4;
  const uint32_t metadata = p.input[a_words + thread_index()];
  uint32_t a[2][4];
  GPU_UNROLL
  for (int step = 0; step < 2; ++step) {
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) {
      a[step][r] = p.input[(16 * warp + g + 8 * (r % 2)) * 16 + 8 * step + q + 4 * (r / 2)];
    }
  }
  float d[columns / 8][4] = {};
  const MatrixDescriptor b = k_major(start, Swizzle::bytes_128);
  fence_wgmma();
  wgmma_sparse<T, 0>(d, a[0], metadata, b, false);
  wgmma_sparse<T, 1>(d, a[1], metadata, b.advanced(64), true);
  commit_wgmma();
  wait_wgmma<0>(d);
  GPU_UNROLL
  for (int j = 0; j < columns / 8; ++j) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      p.output[(16 * warp + g + 8 * (i / 2)) * columns + 8 * j + 2 * q + i % 2] = bits_of(d[j][i]);
    }
  }
}

void fill(const Probe& probe, Random& random, uint32_t* input) {
  auto element = [&] {
    const float value = float(random.below(17) - 8);
    return uint32_t(probe.variation[0] ? from_float<f16>(value).bits : from_float<bf16>(value).bits);
  };
  // Every pair of places in a quad that has a meaning.
  static const uint32_t pairs[] = {0x4, 0x8, 0x9, 0xc, 0xd, 0xe};
  for (int i = 0; i < a_words + metadata_words + b_words; ++i) {
    if (i < a_words || i >= a_words + metadata_words) {
      const uint32_t low = element();
      input[i] = low | element() << 16;
      continue;
    }
    input[i] = 0;
    for (int nibble = 0; nibble < 8; ++nibble) input[i] |= pairs[random.below(6)] << (4 * nibble);
  }
}

Status launch_product(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  const LaunchShape shape = {{1, 1, 1}, 128, b_words * 4 + 1024};
  return probe.variation[0]
             ? launch(stream, probe.description.name, shape, sparse_warpgroup_kernel<f16>, arguments)
             : launch(stream, probe.description.name, shape, sparse_warpgroup_kernel<bf16>, arguments);
}

}  // namespace

std::vector<Probe> sparse_warpgroup_probes() {
  constexpr int input = a_words + metadata_words + b_words, output = rows * columns;
  return {{exact("wgmma.sp.bf16", "wgmma_sparse.h", input, output, 90), {0}, fill, launch_product},
          {exact("wgmma.sp.f16", "wgmma_sparse.h", input, output, 90), {1}, fill, launch_product}};
}

}  // namespace gpu::conformance

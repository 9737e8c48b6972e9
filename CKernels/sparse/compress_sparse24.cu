// 2:4 magnitude pruning of a dense weight on the device.

#include "device/device.h"
#include "sparse/sparse24.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct CompressCall {
  Sparse24CompressArguments compress;
  int bytes;
};

/// The larger a float's size, the larger its bits without the sign, for both formats; NaN is above infinity.
GPU_DEVICE uint32_t size_of(uint16_t bits) { return bits & 0x7fffu; }

/// A thread takes eight inputs of a feature: one byte of the mask, four kept values, or the half of both. A
/// block's bytes are whole words of the mask, wherever rows end.
GPU_KERNEL(block_threads, 8)
compress_sparse24_kernel(CompressCall c) {
  const Sparse24CompressArguments& p = c.compress;
  const int64_t index = int64_t(block_x()) * block_threads + thread_index();
  if (index >= int64_t(p.n) * c.bytes) return;
  const int feature = int(index / c.bytes), byte = int(index % c.bytes);
  const auto* weight = static_cast<const uint16_t*>(p.weight) + feature * p.stride;
  auto* values = static_cast<uint16_t*>(p.values) + int64_t(feature) * (p.k / 2);
  uint32_t mask = 0;
  for (int quad = 2 * byte; quad < 2 * byte + 2 && 4 * quad < p.k; ++quad) {
    uint16_t w[4];
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) w[i] = weight[4 * quad + i];
    int kept = 0;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      int before = 0;
      GPU_UNROLL
      for (int j = 0; j < 4; ++j) {
        if (j != i && (j < i ? size_of(w[j]) >= size_of(w[i]) : size_of(w[j]) > size_of(w[i]))) ++before;
      }
      if (before >= 2) continue;
      mask |= 1u << (quad % 2 * 4 + i);
      values[2 * quad + kept] = w[i];
      ++kept;
    }
  }
  p.mask[index] = uint8_t(mask);
}

}  // namespace

Status compress_sparse24(Stream stream, const Sparse24CompressArguments& a) {
  if (a.n < 0 || a.k < 0 || a.k % 4 != 0 || a.stride < a.k) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  // The grid's x axis ends at 2^31 - 1.
  if (int64_t(a.n) * ((a.k + 7) / 8) > int64_t(block_threads) * 0x7fffffff) return invalid_arguments;
  const CompressCall c = {a, (a.k + 7) / 8};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {int((int64_t(a.n) * c.bytes + block_threads - 1) / block_threads), 1, 1};
  return launch(stream, "compress_sparse24", shape, compress_sparse24_kernel, c);
}

}  // namespace gpu

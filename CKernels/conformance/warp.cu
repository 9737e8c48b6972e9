// Probes of device/warp.h, barrier.h, atomic.h and bits.h.

#include "conformance/probe.h"
#include "device/device.h"

namespace gpu::conformance {
namespace {

/// ```
/// input    values [32] | lanes to read from [32]
/// output   [14][32]: by index | xor, up, down of each distance | xor and index within halves of the warp
/// ```
GPU_KERNEL(32, 1)
shuffle_kernel(ProbeArguments p) {
  const int lane = thread_index();
  const uint32_t value = p.input[lane], source = p.input[32 + lane] % 64;
  p.output[lane] = shuffle(value, int(source));
  const int distances[] = {1, 5, 16, 31};
  GPU_UNROLL
  for (int i = 0; i < 4; ++i) {
    uint32_t* output = p.output + 32 * (1 + 3 * i) + lane;
    output[0] = shuffle_xor(value, distances[i]);
    output[32] = shuffle_up(value, distances[i]);
    output[64] = shuffle_down(value, distances[i]);
  }
  const uint32_t half = lane < 16 ? 0xffffu : 0xffff0000u;
  const uint32_t neighbour = shuffle_xor(value, 3, half);
  const uint32_t other = shuffle(value, lane / 16 * 16 + int(source % 16), half);
  p.output[32 * 13 + lane] = neighbour ^ other;
}

/// output [3][32]: votes of all lanes, of each half, and of the even and the odd lanes
GPU_KERNEL(32, 1)
vote_kernel(ProbeArguments p) {
  const int lane = thread_index();
  const bool predicate = p.input[lane] & 1;
  p.output[lane] = ballot(predicate);
  p.output[32 + lane] = ballot(predicate, lane < 16 ? 0xffffu : 0xffff0000u);
  p.output[64 + lane] = ballot(predicate, lane % 2 == 0 ? 0x55555555u : 0xaaaaaaaau);
}

/// Sums and maxima go through the same exchanges everywhere, so that their bits are defined.
/// output [4][32]
GPU_KERNEL(32, 1)
reduce_kernel(ProbeArguments p) {
  const int lane = thread_index();
  const float value = float_of(p.input[lane]);
  p.output[lane] = bits_of(warp_sum(value));
  p.output[32 + lane] = bits_of(warp_sum<4>(value));
  p.output[64 + lane] = bits_of(warp_max(value));
  p.output[96 + lane] = bits_of(warp_max<4>(value));
}

void fill_reals(const Probe& probe, Random& random, uint32_t* input) {
  for (int i = 0; i < probe.description.input_words; ++i) input[i] = bits_of(random.real());
}

/// Three rounds through shared memory between barriers of the block; then a counter goes from warp to warp
/// through named barriers.
/// output [96] | [1]
GPU_KERNEL(96, 1)
barrier_kernel(ProbeArguments p) {
  GPU_SHARED(shared);
  uint32_t* words = reinterpret_cast<uint32_t*>(shared);
  const int thread = thread_index(), warp = warp_index(), lane = lane_index();
  uint32_t value = p.input[thread];
  for (int round = 0; round < 3; ++round) {
    words[thread] = value;
    sync_block();
    value = value * 3 + words[(thread * 7 + 5) % 96];
    sync_block();
  }
  p.output[thread] = value;
  uint32_t* counter = words + 96;
  if (warp == 0) {
    if (lane == 0) *counter = p.input[0];
    arrive_named<1>(64);
  } else if (warp == 1) {
    sync_named<1>(64);
    if (lane == 31) *counter += p.input[1];
    arrive_named<2>(64);
  } else {
    sync_named<2>(64);
    if (lane == 7) p.output[96] = *counter + p.input[2];
  }
}

/// What the additions return depends on their order, and is left out.
/// output: sums of 8 bins in 32 bits, then in 64
GPU_KERNEL(256, 1)
atomic_kernel(ProbeArguments p) {
  GPU_SHARED(shared);
  uint64_t* wide = reinterpret_cast<uint64_t*>(shared);
  uint32_t* narrow = reinterpret_cast<uint32_t*>(shared + 64);
  const int thread = thread_index();
  if (thread < 8) {
    wide[thread] = 0;
    narrow[thread] = 0;
  }
  sync_block();
  const uint32_t word = p.input[thread];
  add_atomically(narrow + word % 8, word);
  add_atomically(wide + word % 8, uint64_t(word) << 16 | word);
  sync_block();
  if (thread >= 8) return;
  p.output[thread] = narrow[thread];
  p.output[8 + 2 * thread] = uint32_t(wide[thread]);
  p.output[9 + 2 * thread] = uint32_t(wide[thread] >> 32);
}

/// input: shifted right by its own last bits, so that every count occurs
GPU_KERNEL(32, 1)
bits_kernel(ProbeArguments p) {
  const int lane = thread_index();
  const uint32_t value = lane == 0 ? 0 : p.input[lane] >> lane;
  p.output[lane] = uint32_t(leading_zeros(value));
  p.output[32 + lane] = bits_of(float_of(p.input[lane] & 0x7f7fffffu));
}

template <void (*kernel)(ProbeArguments), int threads, int shared_bytes>
Status launch_one(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{1, 1, 1}, threads, shared_bytes}, kernel, arguments);
}

}  // namespace

std::vector<Probe> warp_probes() {
  return {
      {exact("warp.shuffle", "warp.h", 64, 14 * 32), {}, fill_bits, launch_one<shuffle_kernel, 32, 0>},
      {exact("warp.vote", "warp.h", 32, 96), {}, fill_bits, launch_one<vote_kernel, 32, 0>},
      {exact("warp.reduce", "warp.h", 32, 128), {}, fill_reals, launch_one<reduce_kernel, 32, 0>},
      {exact("barrier", "barrier.h", 96, 97), {}, fill_bits, launch_one<barrier_kernel, 96, 97 * 4>},
      {exact("atomic.add", "atomic.h", 256, 24), {}, fill_bits, launch_one<atomic_kernel, 256, 96>},
      {exact("bits", "bits.h", 32, 64), {}, fill_bits, launch_one<bits_kernel, 32, 0>},
  };
}

}  // namespace gpu::conformance

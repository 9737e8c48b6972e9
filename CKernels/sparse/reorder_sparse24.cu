// From masks and kept weights, as files have them, to the layout of sparse/sparse24.h; once when a model is
// loaded.

#include "device/device.h"
#include "sparse/pairs.h"
#include "sparse/sparse24.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct ReorderCall {
  Sparse24ReorderArguments reorder;
  /// Of 32 k, and of 64.
  int steps;
  int spans;
  int blocks;
};

/// A thread makes one lane's word; block y is a block of 16 features.
GPU_KERNEL(block_threads, 8)
reorder_metadata_kernel(ReorderCall c) {
  const Sparse24ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int span = unit / warp_size, lane = unit % warp_size;
  const int feature = 16 * block_y() + lane / 4;
  const int first = 16 * span + lane % 4 / 2 * 8 + lane % 2 * 4;
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    word |= pair_of(p.mask, p.n, p.k, feature, first + j) << (4 * j);
    word |= pair_of(p.mask, p.n, p.k, feature + 8, first + j) << (16 + 4 * j);
  }
  p.metadata[(int64_t(block_y()) * c.spans + span) * warp_size + lane] = word;
}

/// A thread makes the 16 bytes of one lane; block y is a block of 16 features.
GPU_KERNEL(block_threads, 8)
reorder_values_kernel(ReorderCall c) {
  const Sparse24ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.steps * warp_size) return;
  const int step = unit / warp_size, lane = unit % warp_size;
  const auto* values = static_cast<const uint16_t*>(p.values);
  Packed packed;
  GPU_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int feature = 16 * block_y() + lane / 4 + r % 2 * 8;
    packed.word[r] = 0;
    for (int i = 0; i < 2; ++i) {
      const int column = 16 * step + lane % 4 * 2 + r / 2 * 8 + i;
      if (feature < p.n && column < p.k / 2) {
        packed.word[r] |= uint32_t(values[int64_t(feature) * (p.k / 2) + column]) << (16 * i);
      }
    }
  }
  static_cast<Packed*>(p.packed)[(int64_t(block_y()) * c.steps + step) * warp_size + lane] = packed;
}

int rounded_up(int count, int unit) { return (count + unit - 1) / unit; }

}  // namespace

int64_t sparse24_value_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 32) * 512; }
int64_t sparse24_metadata_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 64) * 128; }

Status reorder_sparse24(Stream stream, const Sparse24ReorderArguments& a) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (a.n < 0 || a.k < 0 || a.k % 4 != 0 || a.n > most_features) return invalid_arguments;
  if ((a.values == nullptr) != (a.packed == nullptr)) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  const ReorderCall c = {a, rounded_up(a.k, 32), rounded_up(a.k, 64), rounded_up(a.n, 16)};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {rounded_up(c.spans * warp_size, block_threads), c.blocks, 1};
  const Status status = launch(stream, "reorder_metadata", shape, reorder_metadata_kernel, c);
  if (status != 0 || !a.values) return status;
  shape.grid.x = rounded_up(c.steps * warp_size, block_threads);
  return launch(stream, "reorder_values", shape, reorder_values_kernel, c);
}

}  // namespace gpu

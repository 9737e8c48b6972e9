// From masks and kept codes, as files have them, to the layout of sparse/sparse24_w8a8.h; once when a model
// is loaded.

#include "sparse/pairs.h"
#include "sparse/sparse24_w8a8.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct ReorderCall {
  Sparse24Int8ReorderArguments reorder;
  int spans;
};

/// A thread makes one lane's codes and its metadata of a step; block y is a block of 16 features.
GPU_KERNEL(block_threads, 8)
reorder_int8_kernel(ReorderCall c) {
  const Sparse24Int8ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int span = unit / warp_size, lane = unit % warp_size;
  const int g = lane / 4, q = lane % 4;
  Packed packed;
  GPU_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int feature = 16 * block_y() + g + 8 * (r % 2);
    packed.word[r] = 0;
    for (int i = 0; i < 4; ++i) {
      const int column = 32 * span + 4 * q + 16 * (r / 2) + i;
      if (feature < p.n && column < p.k / 2) {
        packed.word[r] |= ((p.codes[feature * p.code_stride + column] ^ 128u) & 255u) << (8 * i);
      }
    }
  }
  uint32_t metadata = 0;
  for (int j = 0; j < 8; ++j) {
    metadata |= pair_of(p.mask, p.n, p.k, 16 * block_y() + g + 8 * (q % 2), 16 * span + 8 * (q / 2) + j)
                << (4 * j);
  }
  const int64_t place = (int64_t(block_y()) * c.spans + span) * warp_size + lane;
  static_cast<Packed*>(p.packed)[place] = packed;
  p.metadata[place] = metadata;
}

int rounded_up(int count, int unit) { return (count + unit - 1) / unit; }

}  // namespace

int64_t sparse24_int8_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 64) * 512; }

Status reorder_sparse24_int8(Stream stream, const Sparse24Int8ReorderArguments& a) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (a.n < 0 || a.k < 0 || a.k % 4 != 0 || a.n > most_features || a.code_stride < a.k / 2) {
    return invalid_arguments;
  }
  if (a.n == 0 || a.k == 0) return 0;
  const ReorderCall c = {a, rounded_up(a.k, 64)};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {rounded_up(c.spans * warp_size, block_threads), rounded_up(a.n, 16), 1};
  return launch(stream, "reorder_int8", shape, reorder_int8_kernel, c);
}

}  // namespace gpu

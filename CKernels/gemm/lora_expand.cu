// The second half of a low-rank update: rows of few components are added to rows of many.
//
// A block computes sixteen rows by 64 columns, a warp sixteen of them; the rank is walked 64 at a time, so
// that up to rank 64 all operands are on their way at once.

#include "gemm/lora_tile.h"
#include "gemm/operand.h"
#include "gemm/output.h"

namespace gpu {
namespace {

/// ```
/// shared   stage 0: shrunk rows | rows of up    stage 1
/// ```
struct ExpandShape {
  static constexpr int depth = 64;
  static constexpr int threads = 128;
  static constexpr int stages = 2;
  static constexpr int columns = 64;
  static constexpr int input_bytes = Tile<depth>::bytes(lora_tile_rows);
  static constexpr int stage_bytes = input_bytes + Tile<depth>::bytes(columns);
  static constexpr int shared_bytes = stages * stage_bytes;
};

template <class T>
GPU_KERNEL(ExpandShape::threads, 4)
lora_expand_kernel(GPU_PARAMETER LoraCall c) {
  using Shape = ExpandShape;
  using Rows = Tile<Shape::depth>;
  GPU_SHARED(shared);
  const LoraTile tile = LoraTile::of(c, block_x());
  const LoraRun& run = c.runs[tile.run];
  const int first_column = block_y() * Shape::columns;

  const SharedAddress first_stage = shared_address(shared);
  const int tiles = (run.rank + Shape::depth - 1) / Shape::depth;
  auto copy = [&](int step) {
    if (step < tiles) {
      const int stage = step % Shape::stages * Shape::stage_bytes, k = step * Shape::depth;
      copy_operand<T, Shape, lora_tile_rows, true>(shared + stage, first_stage + SharedAddress(stage),
                                                   c.shrunk, c.shrunk_stride, tile.first_row, run.end, k,
                                                   run.rank);
      copy_operand<T, Shape, Shape::columns, true>(shared + stage + Shape::input_bytes,
                                                   first_stage + SharedAddress(stage + Shape::input_bytes),
                                                   run.up, run.rank, first_column, c.n, k, run.rank);
    }
    commit_copies();
  };

  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b();
  const int warp_column = warp_index() * 16;
  float sum[2][4] = {};
  copy(0);
  for (int step = 0; step < tiles; ++step) {
    // This tile has arrived, and every warp is done with the one whose place the next takes.
    wait_copies<0>();
    sync_block();
    copy(step + 1);
    const SharedAddress stage = first_stage + SharedAddress(step % Shape::stages * Shape::stage_bytes);
    const int left = run.rank - step * Shape::depth;
    const int k_steps = (left < Shape::depth ? left : Shape::depth) / 16;
    [[maybe_unused]] constexpr int unrolled = Shape::depth / 16;
    GPU_UNROLL_SOME
    for (int k = 0; k < k_steps; ++k) {
      uint32_t a[4], b[4];
      load_matrices(a, stage + Rows::offset(a_row.row, 2 * k + a_row.chunk));
      load_matrices(b, stage + SharedAddress(Shape::input_bytes) +
                           Rows::offset(warp_column + b_row.row, 2 * k + b_row.chunk));
      mma_m16n8k16<T>(sum[0], a, b[0], b[1]);
      mma_m16n8k16<T>(sum[1], a, b[2], b[3]);
    }
  }
  wait_copies<0>();

  const OutputShape output = {c.output, c.output_stride, nullptr, c.n, true, c.float_output, c.pairs};
  const int g = lane_index() / 4, q = lane_index() % 4;
  GPU_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = tile.first_row + g + 8 * half;
    if (row >= run.end) continue;
    GPU_UNROLL
    for (int n = 0; n < 2; ++n) {
      write_pair<T>(output, row, first_column + warp_column + 8 * n + 2 * q, sum[n][2 * half],
                    sum[n][2 * half + 1]);
    }
  }
}

}  // namespace

Status lora_expand(Stream stream, ElementType type, const LoraCall& c, int tiles) {
  LaunchShape shape;
  shape.grid = {tiles, (c.n + ExpandShape::columns - 1) / ExpandShape::columns, 1};
  shape.threads = ExpandShape::threads;
  shape.shared_bytes = ExpandShape::shared_bytes;
  if (type == ElementType::bfloat16) {
    return launch(stream, "lora_expand<bf16>", shape, lora_expand_kernel<bf16>, c);
  }
  return launch(stream, "lora_expand<f16>", shape, lora_expand_kernel<f16>, c);
}

}  // namespace gpu

// The first half of a low-rank update: rows of many components become rows of few.
//
// A block computes sixteen rows by sixteen columns over all of k, which is long where the output is small:
// its four warps share out the k of each tile of 64, and their sums are added in order at the end. Blocks for
// the other columns of the rank read the rows again, from L2.
//
//   copies   tile 0 · 1 · 2 ····· tile 3 ········ tile 4 ········
//   warps           wait ─────── tile 0 ── wait ─ tile 1 ── wait ─ ...
//                                  warp w: k = 16 w ..< 16 w + 16

#include "gemm/lora_tile.h"
#include "gemm/operand.h"

namespace gpu {
namespace {

/// ```
/// shared   stage 0: input rows | rows of down    stage 1    ...
/// then     sums [4 warps][16 rows][16 columns] float
/// ```
struct ShrinkShape {
  static constexpr int depth = 64;
  static constexpr int threads = 128;
  static constexpr int stages = 4;
  static constexpr int columns = lora_rank_unit;
  static constexpr int input_bytes = Tile<depth>::bytes(lora_tile_rows);
  static constexpr int stage_bytes = input_bytes + Tile<depth>::bytes(columns);
  static constexpr int shared_bytes = stages * stage_bytes;
  static_assert(threads / warp_size * 16 == depth, "a warp takes one mma step of each tile");
  static_assert(4 * lora_tile_rows * columns * 4 <= shared_bytes, "the sums take the place of the stages");
};

template <class T, bool vectors>
GPU_KERNEL(ShrinkShape::threads, 4)
lora_shrink_kernel(GPU_PARAMETER LoraCall c) {
  using Shape = ShrinkShape;
  using Rows = Tile<Shape::depth>;
  GPU_SHARED(shared);
  const LoraTile tile = LoraTile::of(c, block_x());
  const LoraRun& run = c.runs[tile.run];
  const int first_column = block_y() * Shape::columns;
  if (first_column >= run.rank) return;

  const SharedAddress first_stage = shared_address(shared);
  const int tiles = (c.k + Shape::depth - 1) / Shape::depth;
  // Past the last tile nothing is copied, but the group counts.
  auto copy = [&](int step) {
    if (step < tiles) {
      const int stage = step % Shape::stages * Shape::stage_bytes, k = step * Shape::depth;
      copy_operand<T, Shape, lora_tile_rows, vectors>(shared + stage, first_stage + SharedAddress(stage),
                                                      c.input, c.input_stride, tile.first_row, run.end, k,
                                                      c.k);
      copy_operand<T, Shape, Shape::columns, vectors>(shared + stage + Shape::input_bytes,
                                                      first_stage + SharedAddress(stage + Shape::input_bytes),
                                                      run.down, c.k, first_column, run.rank, k, c.k);
    }
    commit_copies();
  };

  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b();
  const int warp_chunk = warp_index() * 2;
  float sum[2][4] = {};
  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy(stage);
  for (int step = 0; step < tiles; ++step) {
    // This tile has arrived, and every warp is done with the one whose place the next copy takes.
    wait_copies<Shape::stages - 2>();
    sync_block();
    copy(step + Shape::stages - 1);
    const SharedAddress stage = first_stage + SharedAddress(step % Shape::stages * Shape::stage_bytes);
    uint32_t a[4], b[4];
    load_matrices(a, stage + Rows::offset(a_row.row, warp_chunk + a_row.chunk));
    load_matrices(
        b, stage + SharedAddress(Shape::input_bytes) + Rows::offset(b_row.row, warp_chunk + b_row.chunk));
    mma_m16n8k16<T>(sum[0], a, b[0], b[1]);
    mma_m16n8k16<T>(sum[1], a, b[2], b[3]);
  }
  wait_copies<0>();
  sync_block();

  float* sums = reinterpret_cast<float*>(shared);
  const int g = lane_index() / 4, q = lane_index() % 4;
  GPU_UNROLL
  for (int n = 0; n < 2; ++n) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int row = g + 8 * (i / 2), column = 8 * n + 2 * q + i % 2;
      sums[(warp_index() * lora_tile_rows + row) * Shape::columns + column] = sum[n][i];
    }
  }
  sync_block();
  constexpr int outputs = lora_tile_rows * Shape::columns;
  for (int i = thread_index(); i < outputs; i += Shape::threads) {
    const int row = tile.first_row + i / Shape::columns, column = first_column + i % Shape::columns;
    if (row >= run.end) continue;
    float total = sums[i];
    for (int warp = 1; warp < Shape::threads / warp_size; ++warp) total += sums[warp * outputs + i];
    static_cast<T*>(c.shrunk)[row * c.shrunk_stride + column] = from_float<T>(run.scale * total);
  }
}

template <class T>
Status run(Stream stream, const LaunchShape& shape, const LoraCall& c) {
  return c.vectors ? launch(stream, "lora_shrink<8>", shape, lora_shrink_kernel<T, true>, c)
                   : launch(stream, "lora_shrink<1>", shape, lora_shrink_kernel<T, false>, c);
}

}  // namespace

Status lora_shrink(Stream stream, ElementType type, const LoraCall& c, int tiles, int widest) {
  LaunchShape shape;
  shape.grid = {tiles, widest / ShrinkShape::columns, 1};
  shape.threads = ShrinkShape::threads;
  shape.shared_bytes = ShrinkShape::shared_bytes;
  return type == ElementType::bfloat16 ? run<bf16>(stream, shape, c) : run<f16>(stream, shape, c);
}

}  // namespace gpu

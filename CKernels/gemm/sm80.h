// The dense matrix product with mma.sync and cp.async (sm_80 and later).
//
// k is cut into tiles of 64, and the tiles into parts of equal length (the last may be shorter); how many
// depends on n and k only. A part is summed by the tensor cores in order of k, and the parts in order after
// it. Every form of the kernel keeps to that, so all give the same bits, and which one runs may depend on m:
//
//   rows16, rows32, rows64   a block computes one part of 16, 32 or 64 rows and 64 columns; `sum_parts` adds
//                            them up. Few rows: weights stream once, and the parts fill the device.
//   tile128                  a block computes all parts of 128 rows and 128 columns, in registers.
//
//   copies   tile 0 · 1 · 2 ····· tile 3 ········ tile 4 ········
//   warps           wait ─────── tile 0 ── wait ─ tile 1 ── wait ─ ...
//
#pragma once

#include "device/device.h"
#include "gemm/arguments.h"
#include "gemm/operand.h"
#include "gemm/output.h"
#include "gemm/tile_shape.h"

namespace gpu {

enum class GemmForm { rows16, rows32, rows64, tile128 };

/// What the kernels take.
struct GemmCall {
  GemmArguments gemm;
  OutputShape output;
  /// [parts, m, n]; null when a block writes the output itself.
  float* partials;
  /// Tiles of k in a part, and in all.
  int part_tiles;
  int tiles;
  /// Input and weight allow copies of 16 bytes.
  bool vectors;
};

/// With a block for each part of k, or one for all.
template <int rows, int columns, int warps_m, int warps_n, int stages, int blocks, bool all_parts_>
struct GemmShape : TileShape<rows, columns, warps_m, warps_n, stages, blocks> {
  static constexpr bool all_parts = all_parts_;
};

using GemmRows16 = GemmShape<16, 64, 1, 4, 4, 4, false>;
using GemmRows32 = GemmShape<32, 64, 1, 4, 4, 3, false>;
using GemmRows64 = GemmShape<64, 64, 2, 2, 4, 2, false>;
using GemmTile128 = GemmShape<128, 128, 2, 4, 3, 1, true>;

template <class T, class Shape, bool vectors>
GPU_KERNEL(Shape::threads, Shape::blocks)
gemm_kernel(GemmCall c) {
  using Rows = Tile<Shape::depth>;
  constexpr int k_steps = Shape::depth / 16;
  constexpr int m_tiles = Shape::warp_rows / 16;
  constexpr int n_pairs = Shape::warp_columns / 16;
  const GemmArguments& p = c.gemm;
  GPU_SHARED(shared);

  const int part = Shape::all_parts ? 0 : block_y();
  const int first_row = (Shape::all_parts ? block_x() : block_z()) * Shape::rows;
  const int first_column = (Shape::all_parts ? block_y() : block_x()) * Shape::columns;
  const int first_tile = part * c.part_tiles;
  const int tiles_end =
      Shape::all_parts || first_tile + c.part_tiles > c.tiles ? c.tiles : first_tile + c.part_tiles;

  const SharedAddress first_stage = shared_address(shared);
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tile = [&](int tile) {
    if (tile < tiles_end) {
      const int stage = tile % Shape::stages * Shape::stage_bytes;
      const int k = tile * Shape::depth;
      copy_operand<T, Shape, Shape::rows, vectors>(shared + stage, first_stage + SharedAddress(stage),
                                                   p.input, p.input_stride, first_row, p.m, k, p.k);
      copy_operand<T, Shape, Shape::columns, vectors>(shared + stage + Shape::input_bytes,
                                                      first_stage + SharedAddress(stage + Shape::input_bytes),
                                                      p.weight, p.weight_stride, first_column, p.n, k, p.k);
    }
    commit_copies();
  };

  const int warp_row = warp_index() / Shape::warps_n * Shape::warp_rows;
  const int warp_column = warp_index() % Shape::warps_n * Shape::warp_columns;
  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b();
  uint32_t a[2][m_tiles][4], b[2][n_pairs][4];
  auto load_fragments = [&](int set, SharedAddress stage, int k) {
    GPU_UNROLL
    for (int i = 0; i < m_tiles; ++i) {
      load_matrices(a[set][i], stage + Rows::offset(warp_row + 16 * i + a_row.row, 2 * k + a_row.chunk));
    }
    GPU_UNROLL
    for (int j = 0; j < n_pairs; ++j) {
      load_matrices(b[set][j], stage + SharedAddress(Shape::input_bytes) +
                                   Rows::offset(warp_column + 16 * j + b_row.row, 2 * k + b_row.chunk));
    }
  };

  // The part that is being summed, and the sum of those before it.
  float sum[m_tiles][2 * n_pairs][4] = {};
  [[maybe_unused]] float total[m_tiles][2 * n_pairs][4];
  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy_tile(first_tile + stage);
  int part_end = c.part_tiles;
  for (int tile = first_tile; tile < tiles_end; ++tile) {
    if constexpr (Shape::all_parts) {
      if (tile == part_end) {
        GPU_UNROLL
        for (int i = 0; i < m_tiles; ++i) {
          GPU_UNROLL
          for (int j = 0; j < 2 * n_pairs; ++j) {
            GPU_UNROLL
            for (int e = 0; e < 4; ++e) {
              total[i][j][e] = tile == c.part_tiles ? sum[i][j][e] : total[i][j][e] + sum[i][j][e];
              sum[i][j][e] = 0;
            }
          }
        }
        part_end += c.part_tiles;
      }
    }
    // This tile has arrived, and every warp is done with the one whose place the next copy takes.
    wait_copies<Shape::stages - 2>();
    sync_block();
    copy_tile(tile + Shape::stages - 1);

    const SharedAddress stage = first_stage + SharedAddress(tile % Shape::stages * Shape::stage_bytes);
    load_fragments(0, stage, 0);
    GPU_UNROLL
    for (int k = 0; k < k_steps; ++k) {
      if (k + 1 < k_steps) load_fragments((k + 1) % 2, stage, k + 1);
      GPU_UNROLL
      for (int i = 0; i < m_tiles; ++i) {
        GPU_UNROLL
        for (int j = 0; j < n_pairs; ++j) {
          const uint32_t(&pair)[4] = b[k % 2][j];
          mma_m16n8k16<T>(sum[i][2 * j], a[k % 2][i], pair[0], pair[1]);
          mma_m16n8k16<T>(sum[i][2 * j + 1], a[k % 2][i], pair[2], pair[3]);
        }
      }
    }
  }
  wait_copies<0>();

  auto write = [&](int i, int j, int half, int row, int column) {
    float low = sum[i][j][2 * half], high = sum[i][j][2 * half + 1];
    if constexpr (Shape::all_parts) {
      if (c.tiles > c.part_tiles) {
        low = total[i][j][2 * half] + low;
        high = total[i][j][2 * half + 1] + high;
      }
      write_pair<T>(c.output, row, column, low, high);
    } else if (c.partials) {
      float* target = c.partials + (int64_t(part) * p.m + row) * p.n + column;
      if (column < p.n) target[0] = low;
      if (column + 1 < p.n) target[1] = high;
    } else {
      write_pair<T>(c.output, row, column, low, high);
    }
  };
  for_each_pair<Shape>(first_row + warp_row, first_column + warp_column, p.m, write);
}

template <class T, class Shape>
Status launch_gemm(Stream stream, const char* name, const GemmCall& c) {
  const int rows = (c.gemm.m + Shape::rows - 1) / Shape::rows;
  const int columns = (c.gemm.n + Shape::columns - 1) / Shape::columns;
  LaunchShape shape;
  shape.grid = {rows, columns, 1};
  if (!Shape::all_parts) {
    const int parts = c.partials ? (c.tiles + c.part_tiles - 1) / c.part_tiles : 1;
    shape.grid = {columns, parts, rows};
  }
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  if (c.vectors) return launch(stream, name, shape, gemm_kernel<T, Shape, true>, c);
  // Element loads bound the speed whatever the form is, so there is one for few rows and one for many.
  if constexpr (std::is_same_v<Shape, GemmRows64> || std::is_same_v<Shape, GemmTile128>) {
    return launch(stream, name, shape, gemm_kernel<T, Shape, false>, c);
  } else {
    return launch_gemm<T, GemmRows64>(stream, "gemm<rows64>", c);
  }
}

template <class T>
Status run_gemm(Stream stream, GemmForm form, const GemmCall& c) {
  switch (form) {
    case GemmForm::rows16:
      return launch_gemm<T, GemmRows16>(stream, "gemm<rows16>", c);
    case GemmForm::rows32:
      return launch_gemm<T, GemmRows32>(stream, "gemm<rows32>", c);
    case GemmForm::rows64:
      return launch_gemm<T, GemmRows64>(stream, "gemm<rows64>", c);
    case GemmForm::tile128:
      return launch_gemm<T, GemmTile128>(stream, "gemm<tile128>", c);
  }
  return invalid_arguments;
}

Status gemm_bf16(Stream stream, GemmForm form, const GemmCall& c);
Status gemm_f16(Stream stream, GemmForm form, const GemmCall& c);

/// `gemm_sm80` in a form of one's choice, for tests and measurements.
Status gemm_sm80_as(Stream stream, GemmForm form, const GemmArguments& arguments,
                    const GemmWorkspace& workspace);

}  // namespace gpu

// The product of activations and weights of 8 bits with mma.sync and cp.async: int8 from sm_80 on, E4M3 from
// sm_89 on.
//
// Rows of 128 codes are rows of 64 elements of 16 bits to cp.async, to the tile's swizzle and to ldmatrix, so
// the loop is that of the dense product (gemm/sm80.h) with another mma. Integer sums are exact, products of
// E4M3 are summed in order of k, groups are scaled in their order, and outliers come last in the order of
// their columns: every form gives the same bits.
//
// What the tensor cores sum is added to float sums at the end of each group; of E4M3 at the latest every 128
// k, because Hopper's keep few more bits than the largest term has (DeepSeek-V3, arXiv 2412.19437, §3.3.2).
#pragma once

#include "device/device.h"
#include "gemm/operand.h"
#include "gemm/output.h"
#include "gemm/tile_shape.h"
#include "gemm/w8a8.h"

namespace gpu {

struct W8A8Call {
  W8A8Arguments gemm;
  OutputShape output;
  /// Tiles of 128 k.
  int tiles;
  int groups;
  /// Sums are folded after so many steps of 32 k, and a group is so many folds.
  int fold_steps;
  int group_folds;
};

/// How a kind of code is multiplied.
template <RowCode code>
struct CodeProduct;

template <>
struct CodeProduct<RowCode::int8> {
  using Sum = int32_t;
  GPU_DEVICE static void add(Sum (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    mma_m16n8k32_s8(d, a, b0, b1);
  }
};

template <>
struct CodeProduct<RowCode::float8> {
  using Sum = float;
  GPU_DEVICE static void add(Sum (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    mma_m16n8k32_e4m3(d, a, b0, b1);
  }
};

/// Rows of 64 elements of 16 bits hold 128 codes.
template <int rows, int columns, int warps_m, int warps_n, int stages, int blocks>
struct W8A8Shape : TileShape<rows, columns, warps_m, warps_n, stages, blocks> {
  static constexpr int codes = 2 * TileShape<rows, columns, warps_m, warps_n, stages, blocks>::depth;
};

using W8A8Rows16 = W8A8Shape<16, 64, 1, 4, 4, 4>;
using W8A8Rows64 = W8A8Shape<64, 64, 2, 2, 4, 2>;
using W8A8Tile128 = W8A8Shape<128, 128, 2, 4, 3, 1>;
/// sm_90 multiplies E4M3 by mma as pairs of float16, which takes the registers of half a tile's sums.
using W8A8Float8Tile = W8A8Shape<128, 64, 4, 2, 4, 1>;

GPU_DEVICE float weight_scale(const W8A8Arguments& p, int groups, int column, int group) {
  const int64_t at = int64_t(column) * groups + group;
  if (p.scale_type == ScaleType::float32) return static_cast<const float*>(p.scales)[at];
  const uint16_t bits = static_cast<const uint16_t*>(p.scales)[at];
  return p.scale_type == ScaleType::bfloat16 ? to_float(bf16{bits}) : to_float(f16{bits});
}

/// Two neighbouring components of the input, those below the threshold as zeros.
template <class T>
GPU_DEVICE uint32_t outlier_pair(const W8A8Arguments& p, int row, int column) {
  uint32_t pair = 0;
  if (row >= p.m) return pair;
  const T* input = static_cast<const T*>(p.input) + row * p.input_stride;
  GPU_UNROLL
  for (int i = 0; i < 2; ++i) {
    if (column + i >= p.k) break;
    const T x = input[column + i];
    const float size = float_of(bits_of(to_float(x)) & 0x7fffffffu);
    if (size >= p.threshold) pair |= uint32_t(x.bits) << (16 * i);
  }
  return pair;
}

/// Two neighbouring codes of one output.
template <class T>
GPU_DEVICE uint32_t code_pair(const W8A8Arguments& p, int column, int k) {
  if (column >= p.n) return 0;
  const uint8_t* row = p.weight + column * code_row_bytes(p.k) + k;
  return pack<T>(float(int(int8_t(row[0]))), float(int(int8_t(row[1]))));
}

template <class T, RowCode code, class Shape>
GPU_KERNEL(Shape::threads, Shape::blocks)
w8a8_kernel(W8A8Call c) {
  using Product = CodeProduct<code>;
  using Rows = Tile<Shape::depth>;
  constexpr int k_steps = Shape::codes / 32;
  constexpr int m_tiles = Shape::warp_rows / 16;
  constexpr int n_pairs = Shape::warp_columns / 16;
  const W8A8Arguments& p = c.gemm;
  GPU_SHARED(shared);

  const int first_row = block_x() * Shape::rows;
  const int first_column = block_y() * Shape::columns;
  const int row_pairs = int(code_row_bytes(p.k)) / 2;
  const SharedAddress first_stage = shared_address(shared);
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tile = [&](int tile) {
    if (tile < c.tiles) {
      const int stage = tile % Shape::stages * Shape::stage_bytes;
      const int k = tile * Shape::depth;
      copy_operand<bf16, Shape, Shape::rows, true>(shared + stage, first_stage + SharedAddress(stage),
                                                   p.codes, row_pairs, first_row, p.m, k, row_pairs);
      copy_operand<bf16, Shape, Shape::columns, true>(shared + stage + Shape::input_bytes,
                                                      first_stage + SharedAddress(stage + Shape::input_bytes),
                                                      p.weight, row_pairs, first_column, p.n, k, row_pairs);
    }
    commit_copies();
  };

  const int warp_row = warp_index() / Shape::warps_n * Shape::warp_rows;
  const int warp_column = warp_index() % Shape::warps_n * Shape::warp_columns;
  const int g = lane_index() / 4, q = lane_index() % 4;
  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b();
  auto column_of = [&](int j, int e) { return first_column + warp_column + 8 * j + 2 * q + e % 2; };

  typename Product::Sum products[m_tiles][2 * n_pairs][4] = {};
  float sum[m_tiles][2 * n_pairs][4] = {};
  auto fold_group = [&](int group) {
    GPU_UNROLL
    for (int j = 0; j < 2 * n_pairs; ++j) {
      float scale[2];
      GPU_UNROLL
      for (int e = 0; e < 2; ++e) {
        const int column = column_of(j, e);
        scale[e] = column < p.n ? weight_scale(p, c.groups, column, group) : 0.0f;
      }
      GPU_UNROLL
      for (int i = 0; i < m_tiles; ++i) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) {
          sum[i][j][e] = fma_rn(scale[e % 2], float(products[i][j][e]), sum[i][j][e]);
          products[i][j][e] = 0;
        }
      }
    }
  };

  int group = 0, steps_left = c.fold_steps, folds_left = c.group_folds;
  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy_tile(stage);
  for (int tile = 0; tile < c.tiles; ++tile) {
    // This tile has arrived, and every warp is done with the one whose place the next copy takes.
    wait_copies<Shape::stages - 2>();
    sync_block();
    copy_tile(tile + Shape::stages - 1);
    const SharedAddress stage = first_stage + SharedAddress(tile % Shape::stages * Shape::stage_bytes);
    GPU_UNROLL
    for (int k = 0; k < k_steps; ++k) {
      uint32_t a[m_tiles][4];
      GPU_UNROLL
      for (int i = 0; i < m_tiles; ++i) {
        load_matrices(a[i], stage + Rows::offset(warp_row + 16 * i + a_row.row, 2 * k + a_row.chunk));
      }
      GPU_UNROLL
      for (int j = 0; j < n_pairs; ++j) {
        uint32_t b[4];
        load_matrices(b, stage + SharedAddress(Shape::input_bytes) +
                             Rows::offset(warp_column + 16 * j + b_row.row, 2 * k + b_row.chunk));
        GPU_UNROLL
        for (int i = 0; i < m_tiles; ++i) {
          Product::add(products[i][2 * j], a[i], b[0], b[1]);
          Product::add(products[i][2 * j + 1], a[i], b[2], b[3]);
        }
      }
      if (--steps_left == 0) {
        if (group < c.groups) fold_group(group);
        steps_left = c.fold_steps;
        if (--folds_left == 0) {
          group += 1;
          folds_left = c.group_folds;
        }
      }
    }
  }
  wait_copies<0>();
  if (group < c.groups) fold_group(group);

  GPU_UNROLL
  for (int i = 0; i < m_tiles; ++i) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + warp_row + 16 * i + g + 8 * half;
      const float scale = row < p.m ? p.row_scales[row] : 0.0f;
      GPU_UNROLL
      for (int j = 0; j < 2 * n_pairs; ++j) {
        sum[i][j][2 * half] = multiply_rn(sum[i][j][2 * half], scale);
        sum[i][j][2 * half + 1] = multiply_rn(sum[i][j][2 * half + 1], scale);
      }
    }
  }

  // Runs of columns in which a row of this warp has an outlier. A row without one adds zeros.
  const int words = code == RowCode::int8 ? outlier_words(p.k) : 0;
  for (int word = 0; word < words; ++word) {
    uint32_t map = 0;
    for (int row = lane_index(); row < Shape::warp_rows; row += warp_size) {
      const int at = first_row + warp_row + row;
      if (at < p.m) map |= p.outliers[int64_t(at) * words + word];
    }
    GPU_UNROLL
    for (int distance = warp_size / 2; distance > 0; distance /= 2) map |= shuffle_xor(map, distance);
    while (map != 0) {
      // The lowest bit.
      const int run = 31 - leading_zeros(map & (0u - map));
      map &= map - 1;
      const int k = (word * 32 + run) * outlier_run;
      GPU_UNROLL
      for (int j = 0; j < 2 * n_pairs; ++j) {
        const int column = first_column + warp_column + 8 * j + g;
        const uint32_t b0 = code_pair<T>(p, column, k + 2 * q), b1 = code_pair<T>(p, column, k + 2 * q + 8);
        float scale[2];
        GPU_UNROLL
        for (int e = 0; e < 2; ++e) {
          scale[e] = column_of(j, e) < p.n ? weight_scale(p, c.groups, column_of(j, e), k / p.group) : 0.0f;
        }
        GPU_UNROLL
        for (int i = 0; i < m_tiles; ++i) {
          const int row = first_row + warp_row + 16 * i + g;
          const uint32_t a[4] = {outlier_pair<T>(p, row, k + 2 * q), outlier_pair<T>(p, row + 8, k + 2 * q),
                                 outlier_pair<T>(p, row, k + 2 * q + 8),
                                 outlier_pair<T>(p, row + 8, k + 2 * q + 8)};
          float product[4] = {};
          mma_m16n8k16<T>(product, a, b0, b1);
          GPU_UNROLL
          for (int e = 0; e < 4; ++e) sum[i][j][e] = fma_rn(scale[e % 2], product[e], sum[i][j][e]);
        }
      }
    }
  }

  auto write = [&](int i, int j, int half, int row, int column) {
    write_pair<T>(c.output, row, column, sum[i][j][2 * half], sum[i][j][2 * half + 1]);
  };
  for_each_pair<Shape>(first_row + warp_row, first_column + warp_column, p.m, write);
}

template <class T, RowCode code, class Shape>
Status launch_w8a8(Stream stream, const char* name, const W8A8Call& c) {
  LaunchShape shape;
  shape.grid = {(c.gemm.m + Shape::rows - 1) / Shape::rows, (c.gemm.n + Shape::columns - 1) / Shape::columns,
                1};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, name, shape, w8a8_kernel<T, code, Shape>, c);
}

template <class T, RowCode code>
Status run_w8a8(Stream stream, W8A8Form form, const W8A8Call& c) {
  using Tile = std::conditional_t<code == RowCode::int8, W8A8Tile128, W8A8Float8Tile>;
  switch (form) {
    case W8A8Form::rows16:
      return launch_w8a8<T, code, W8A8Rows16>(stream, "w8a8<rows16>", c);
    case W8A8Form::rows64:
      return launch_w8a8<T, code, W8A8Rows64>(stream, "w8a8<rows64>", c);
    case W8A8Form::tile128:
      return launch_w8a8<T, code, Tile>(stream, "w8a8<tile128>", c);
  }
  return invalid_arguments;
}

Status w8a8_bf16(Stream stream, W8A8Form form, const W8A8Call& c);
Status w8a8_f16(Stream stream, W8A8Form form, const W8A8Call& c);
Status w8a8_float8_bf16(Stream stream, W8A8Form form, const W8A8Call& c);
Status w8a8_float8_f16(Stream stream, W8A8Form form, const W8A8Call& c);

}  // namespace gpu

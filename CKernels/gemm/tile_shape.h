// What the tensor core products of sm_80 share: the shape of a block, and the walk over a warp's sums.
#pragma once

#include "device/device.h"
#include "device/tile.h"

namespace gpu {

/// A tile of the output, and the copies on their way to it.
///
/// ```
/// shared   stage 0: input rows | weight rows    stage 1    ...       rows of 64 elements of 16 bits, see
/// Tile
/// ```
template <int rows_, int columns_, int warps_m_, int warps_n_, int stages_, int blocks_>
struct TileShape {
  static constexpr int rows = rows_;
  static constexpr int columns = columns_;
  static constexpr int depth = 64;
  static constexpr int warps_n = warps_n_;
  static constexpr int stages = stages_;
  /// Resident on a multiprocessor.
  static constexpr int blocks = blocks_;
  static constexpr int threads = warps_m_ * warps_n_ * warp_size;
  static constexpr int warp_rows = rows / warps_m_;
  static constexpr int warp_columns = columns / warps_n_;
  static constexpr int input_bytes = Tile<depth>::bytes(rows);
  static constexpr int stage_bytes = input_bytes + Tile<depth>::bytes(columns);
  static constexpr int shared_bytes = stages * stage_bytes;
  static_assert(warp_rows % 16 == 0 && warp_columns % 16 == 0, "ldmatrix brings 16 x 16 elements");
  static_assert(rows * Tile<depth>::chunks % threads == 0, "each thread copies the same number of chunks");
  static_assert(shared_bytes <= 99 * 1024, "what sm_89 offers a block");
};

/// Calls `write(i, j, half, row, column)` for each pair of neighbouring sums that this lane has of its warp's
/// tile, but for rows from `rows` on. Sums lie as mma leaves them:
///
/// ```
/// sum[i][j][2 half + e]    row    first_row + 16 i + 8 half + lane / 4
///                          column first_column + 8 j + 2 (lane % 4) + e
/// ```
template <class Shape, class Write>
GPU_DEVICE void for_each_pair(int first_row, int first_column, int rows, const Write& write) {
  const int g = lane_index() / 4, q = lane_index() % 4;
  GPU_UNROLL
  for (int i = 0; i < Shape::warp_rows / 16; ++i) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 16 * i + g + 8 * half;
      if (row >= rows) continue;
      GPU_UNROLL
      for (int j = 0; j < Shape::warp_columns / 8; ++j) write(i, j, half, row, first_column + 8 * j + 2 * q);
    }
  }
}

}  // namespace gpu

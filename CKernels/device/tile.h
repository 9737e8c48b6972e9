// A tile of rows in shared memory, laid out so that cp.async and ldmatrix meet no bank conflict.
#pragma once

#include "device/async_copy.h"
#include "device/indices.h"

namespace gpu {

/// Rows of `columns` 16-bit elements, in 16-byte chunks.
///
/// The eight rows that one matrix of ldmatrix reads must lie in eight different chunk columns of the 128-byte
/// line. Where consecutive rows start in `distinct` chunk columns apart from each other only, the chunk index
/// is XORed with the number of the row's repetition:
///
/// ```
///   128 columns: 16 chunks a row, all rows start in column 0:     chunk ^ (row % 8)
///    32 columns:  4 chunks a row, starts 0 4 0 4 ...:             chunk ^ (row / 2 % 4)
///    80 columns: 10 chunks a row, starts 0 2 4 6 0 2 4 6 ...:     chunk ^ (row / 4 % 2)
/// ```
/// The XOR stays below the largest power of two that divides the chunks of a row, so it never leaves the row.
template <int columns>
struct Tile {
  static_assert(columns % 16 == 0, "an mma step takes 16 columns");
  static constexpr int chunks = columns / 8;
  static constexpr int period = (chunks & -chunks) < 8 ? (chunks & -chunks) : 8;
  static constexpr int rows_a_line = 8 / period;

  static constexpr int bytes(int rows) { return rows * chunks * 16; }

  /// Bytes from the tile's start to a chunk.
  GPU_DEVICE static SharedAddress offset(int row, int chunk) {
    return SharedAddress(row * chunks + (chunk ^ (row / rows_a_line % period))) * 16;
  }
};

/// Starts the copy of rows of 16-bit elements into a tile, a chunk a thread. `row_address(row)` gives a row's
/// first element, or null for a row of zeros; components past `head_dimension` become zeros too. `fallback`
/// is any readable, aligned address. A thread looks up `unrolled` addresses at once.
template <class T, int columns, int rows, int threads, int unrolled, class RowAddress>
GPU_DEVICE void copy_tile(SharedAddress tile, int head_dimension, const T* fallback, RowAddress row_address) {
  constexpr int chunks = Tile<columns>::chunks;
  constexpr int total = rows * chunks;
  GPU_UNROLL_SOME
  for (int step = 0; step < (total + threads - 1) / threads; ++step) {
    const int i = step * threads + thread_index();
    if (total % threads != 0 && i >= total) break;
    const int row = i / chunks, chunk = i % chunks;
    const T* source = row_address(row);
    const bool present = source != nullptr && chunk * 8 < head_dimension;
    copy_async(tile + Tile<columns>::offset(row, chunk), present ? source + chunk * 8 : fallback,
               present ? 16 : 0);
  }
}

/// Where, in each 16 x 16 part of a tile, a lane's row for ldmatrix.x4 lies. The four matrices come in the
/// order in which the registers of a fragment are numbered.
struct LaneRow {
  int row;
  int chunk;
};

/// A operand, rows x k: rows 0-7 then 8-15 of the first eight k, then the same of the second.
GPU_DEVICE LaneRow lane_row_of_a() {
  const int lane = lane_index();
  return {lane % 16, lane / 16};
}

/// B operand stored as n x k (keys as rows): the two halves of k for n 0-7, then for n 8-15.
GPU_DEVICE LaneRow lane_row_of_b() {
  const int lane = lane_index();
  return {lane % 8 + lane / 16 * 8, lane / 8 % 2};
}

/// B operand stored as k x n (values as rows), read transposed: the two halves of k for n 0-7, then for n
/// 8-15.
GPU_DEVICE LaneRow lane_row_of_b_transposed() { return lane_row_of_a(); }

}  // namespace gpu

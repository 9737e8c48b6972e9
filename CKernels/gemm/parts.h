// How matrix products are split along k, and how the parts meet.
#pragma once

#include "gemm/output.h"

namespace gpu {

/// The parts of `tiles` tiles of k: all of `part_tiles`, the last maybe fewer.
struct Parts {
  int part_tiles;
  int count;

  /// As many as let `blocks` columns of blocks fill a device twice (an A100 has 108 multiprocessors, an H100
  /// 132), while a part keeps at least `least_tiles` tiles to stream.
  static Parts of(int tiles, int blocks, int least_tiles) {
    constexpr int wanted_blocks = 256, most = 16;
    int count = blocks > 0 ? wanted_blocks / blocks : 1;
    if (count > most) count = most;
    if (count > tiles / least_tiles) count = tiles / least_tiles;
    if (count <= 1) return {tiles > 0 ? tiles : 1, 1};
    const int part_tiles = (tiles + count - 1) / count;
    return {part_tiles, (tiles + part_tiles - 1) / part_tiles};
  }
};

/// output[row][column] = Σ partials[part][row][column], in order of the parts, completed as `output` says.
Status sum_parts(Stream stream, ElementType type, const OutputShape& output, int rows, int parts,
                 const float* partials);

}  // namespace gpu

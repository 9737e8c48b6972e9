// Which rows a block of the low-rank kernels computes.
#pragma once

#include "device/device.h"
#include "gemm/lora.h"

namespace gpu {

/// ```
/// rows    | run 0: 20 rows    | run 1: 3 | run 2: 16 |
/// tiles     0 ..16  1 ..4       2 ..3      3 ..16
/// ```
/// A tile never has rows of two adapters, so each of its operands is one matrix.
struct LoraTile {
  int run;
  int first_row;

  GPU_DEVICE static LoraTile of(const LoraCall& c, int tile) {
    int run = 0;
    while (run + 1 < c.run_count && tile >= lora_tiles(c.runs[run])) tile -= lora_tiles(c.runs[run++]);
    return {run, c.runs[run].first + tile * lora_tile_rows};
  }
};

}  // namespace gpu

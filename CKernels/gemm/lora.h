// Low-rank updates (LoRA, Hu et al. 2021, arXiv 2106.09685) of many adapters in one step.
#pragma once

#include "gemm/arguments.h"

namespace gpu {

/// Rows that are computed with one adapter: `output += scale · (input · downᵀ) · upᵀ`.
struct LoraRun {
  /// [rank, k], contiguous
  const void* down;
  /// [n, rank], contiguous, aligned to 16 bytes
  const void* up;
  /// Rows `first ..< end`; no row is in two runs.
  int first, end;
  /// Multiple of 16: smaller ones are filled up with zeros.
  int rank;
  float scale;
};

/// Runs of one launch; they travel in the kernel's parameters, of which there are 4 KiB.
constexpr int most_lora_runs = 64;
/// Components that the rank is a multiple of: what one mma step takes.
constexpr int lora_rank_unit = 16;

/// The updates of one linear layer. A row's bits depend on its own input and adapter only, not on the other
/// rows or runs, nor on where in its run it stands.
struct LoraArguments {
  ElementType type;
  int m;
  int n;
  int k;
  /// [m, k]; rows that are aligned to 16 bytes, with k a multiple of 8, are copied 16 bytes at a time.
  const void* input;
  int64_t input_stride;
  /// [m, the largest rank] of scratch memory, which holds scale · (input · downᵀ), rounded once; aligned to
  /// 16 bytes, rows a multiple of 8 elements apart
  void* shrunk;
  int64_t shrunk_stride;
  /// [m, n], which is added to
  void* output;
  int64_t output_stride;
  bool float_output;
  /// On the host.
  const LoraRun* runs;
  int run_count;
};

/// Two launches for each `most_lora_runs` runs. `invalid_arguments` for negative sizes, strides shorter than
/// rows, ranks and addresses that are not as described, and runs outside of the rows.
Status lora(Stream stream, const LoraArguments& arguments);

/// What both kernels take.
struct LoraCall {
  int m, n, k;
  const void* input;
  int64_t input_stride;
  void* shrunk;
  int64_t shrunk_stride;
  void* output;
  int64_t output_stride;
  bool float_output;
  /// Two neighbouring outputs may be stored at once.
  bool pairs;
  /// Input and all `down` allow copies of 16 bytes.
  bool vectors;
  int run_count;
  LoraRun runs[most_lora_runs];
};

constexpr int lora_tile_rows = 16;

/// Tiles of rows of a run.
GPU_DEVICE_OR_HOST int lora_tiles(const LoraRun& run) {
  return (run.end - run.first + lora_tile_rows - 1) / lora_tile_rows;
}

/// - `tiles`: of all runs; `widest`: the largest rank.
Status lora_shrink(Stream stream, ElementType type, const LoraCall& call, int tiles, int widest);
Status lora_expand(Stream stream, ElementType type, const LoraCall& call, int tiles);

}  // namespace gpu

// Arguments of matrix products with weights, and the functions that launch them.
#pragma once

#include <cstdint>

#include "elementwise/arguments.h"

namespace gpu {

/// `output = input · weightᵀ + bias`, or `output += …` when `accumulate`: products summed in float, rounded
/// once to the output's type.
///
/// Any sizes, strides and alignments are legal. Rows whose addresses are multiples of 16 bytes are copied 16
/// bytes at a time; others go element by element, slower.
///
/// A row of the output depends on its row of the input, the weight, n and k only: m and the other rows never
/// change its bits.
struct GemmArguments {
  /// Of input, weight, and of the output unless `float_output`.
  ElementType type;
  /// Rows of the input and of the output.
  int m;
  /// Rows of the weight, columns of the output.
  int n;
  /// Columns of input and weight; 0 leaves the bias alone.
  int k;
  /// [m, k], rows `input_stride` elements apart
  const void* input;
  int64_t input_stride;
  /// [n, k], rows `weight_stride` elements apart
  const void* weight;
  int64_t weight_stride;
  /// [n] or null
  const float* bias;
  /// [m, n], rows `output_stride` elements apart; must not overlap the input.
  void* output;
  int64_t output_stride;
  /// Adds to what the output holds.
  bool accumulate;
  /// The output is float, as logits are.
  bool float_output;
};

/// Where the parts of a product that is split along k meet.
struct GemmWorkspace {
  /// At least `gemm_workspace_floats(m, n, k)` of them, aligned to 16 bytes; null when that is 0.
  float* partials;
  int64_t floats;
};

/// Floats that `gemm_sm80` needs for these sizes; 0 for most. Grows with m to some small m, then drops to 0,
/// so the most for any m up to M is that of some m ≤ M: ask `gemm_workspace_most`.
int64_t gemm_workspace_floats(int m, int n, int k);

/// The largest `gemm_workspace_floats` of any number of rows.
int64_t gemm_workspace_most(int n, int k);

/// mma.sync and cp.async (sm_80 and later). `invalid_arguments` for negative sizes, a stride shorter than its
/// row, more rows than a grid has, or a workspace that is too small.
Status gemm_sm80(Stream stream, const GemmArguments& arguments, const GemmWorkspace& workspace);

/// Whether `gemm_sm90` takes it: k is a multiple of 8 and not 0, rows of input and weight are aligned to 16
/// bytes, and there is something to compute.
bool gemm_sm90_supports(const GemmArguments& arguments);

/// TMA and wgmma (sm_90a). Sums k in order, so its bits are `gemm_sm80`'s only where that has one part.
/// `invalid_arguments` for what is not supported.
Status gemm_sm90(Stream stream, const GemmArguments& arguments);

}  // namespace gpu

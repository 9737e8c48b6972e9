// Products of 16-bit activations with 4-bit weights.
//
// The layout of the codes, "GI4", serves mma.sync and wgmma alike: weights are the left operand (rows are
// output features), and a lane finds the codes of four k16 steps in one 16-byte load:
//
// ```
//   [ceil(n / 16)][ceil(k / 64)][32 lanes][4 words]      word s: k16 step s of the 64
//
//   nibbles of a word, with g = lane / 4, q = lane % 4:
//     0 (g, 2q)      1 (g, 2q + 8)      2 (g + 8, 2q)      3 (g + 8, 2q + 8)
//     4 (g, 2q + 1)  5 (g, 2q + 9)      6 (g + 8, 2q + 1)  7 (g + 8, 2q + 9)      (feature, k)
// ```
// It is Marlin's word (Frantar et al. 2024, arXiv 2408.11743) with the registers in the order of the A
// fragment, see device/mma.h: nibbles 0, 4 are register 0, nibbles 2, 6 register 1, and so on.
#pragma once

#include "gemm/arguments.h"

namespace gpu {

enum class ScaleType : int32_t { bfloat16, float16, float32 };

/// weight[n][k] = scale · (code − zero), each group of k with its own scale and zero.
struct Int4Weight {
  int n;
  int k;
  /// A multiple of 16; k for one scale a feature.
  int group;
  /// `int4_code_bytes` of the layout above, aligned to 16.
  const void* codes;
  ScaleType scale_type;
  /// [ceil(k / group)][ceil(n / 16)][8][2]: of features g and g + 8, `int4_scale_count` of them, aligned to a
  /// pair
  const void* scales;
  /// The same of zeros below 16, a byte each; null when all are 8.
  const uint8_t* zeros;
};

int64_t int4_code_bytes(int n, int k);
/// Of scales, and of zeros.
int64_t int4_scale_count(int n, int k, int group);

/// Brings codes, scales and zeros into the layout.
struct Int4RepackArguments {
  int n;
  int k;
  int group;
  /// [n, ceil(k / 8)]: code `i` of a row in bits 4 (i % 8) of word i / 8, as compressed-tensors packs them
  const uint32_t* codes;
  ScaleType scale_type;
  /// [n, ceil(k / group)]
  const void* scales;
  /// [n, ceil(k / group)] or null
  const uint8_t* zeros;
  void* packed_codes;
  void* packed_scales;
  /// Null together with `zeros`.
  uint8_t* packed_zeros;
};

/// `invalid_arguments` for negative sizes, or a group that is no positive multiple of 16 and not k.
Status repack_int4(Stream stream, const Int4RepackArguments& arguments);

/// As GemmArguments, with `weight.n` columns of output.
struct W4A16Arguments {
  ElementType type;
  int m;
  Int4Weight weight;
  const void* input;
  int64_t input_stride;
  const float* bias;
  void* output;
  int64_t output_stride;
  bool accumulate;
  bool float_output;
};

/// Floats of workspace, as `gemm_workspace_floats` and `gemm_workspace_most`.
int64_t w4a16_workspace_floats(int m, int n, int k);
int64_t w4a16_workspace_most(int n, int k);

/// Codes minus zeros are multiplied exactly and summed in float over a group; the group's sum is scaled once.
/// A row's bits depend on its input and the weight only. `invalid_arguments` as `gemm_sm80` and
/// `repack_int4`.
Status gemm_w4a16(Stream stream, const W4A16Arguments& arguments, const GemmWorkspace& workspace);

}  // namespace gpu

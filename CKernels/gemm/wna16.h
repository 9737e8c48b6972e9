// Products of 16-bit activations with weights of 2, 3, 4 and 8 bits.
//
// The layout of the codes serves mma.sync and wgmma alike: weights are the left operand (rows are output
// features), and a lane finds the codes of the k16 steps of 64 k side by side:
//
// ```
//   [ceil(n / 16)][ceil(k / 64)] spans of 16 features x 64 k, `code_bits` · 128 bytes each
//
//   int4    [32 lanes][4 words]               word s: step s ("GI4")
//   int8    [2 halves][32 lanes][4 words]     words 2i, 2i + 1 of half h: step 2h + i; float8 alike
//   int2    [32 lanes][2 words]               word p: steps 2p, 2p + 1
//   int3    as int2, of the codes' low bits | [32 lanes][1 word] of their high bits
// ```
// A lane (g = lane / 4, q = lane % 4) has the eight codes of its A fragment of a step, see device/mma.h:
// register r is feature g + 8 (r % 2), k = 2q + 8 (r / 2) in its low half and the k after it in its high
// half. Codes of a pair lie 16 bits apart, so that one mask takes both out:
//
// ```
//   int4    nibble i: register {0, 2, 1, 3}[i % 4], half i / 4      (Marlin's word, arXiv 2408.11743)
//   int8    first word: register 0 in bytes 0, 2 and register 1 in bytes 1, 3; second word: registers 2 and 3
//   int2    bits 2 (4 (step % 2) + r), and 16 above
//   int3    high bits: 4 step + r, and 16 above
// ```
#pragma once

#include "gemm/arguments.h"

namespace gpu {

enum class ScaleType : int32_t { bfloat16, float16, float32 };

/// What codes stand for: scale · (code − zero), or scale · E4M3 for float8.
enum class WeightCode : int32_t { int4, int2, int3, int8, float8 };

GPU_DEVICE_OR_HOST constexpr int code_bits(WeightCode code) {
  return code == WeightCode::int2 ? 2 : code == WeightCode::int3 ? 3 : code == WeightCode::int4 ? 4 : 8;
}

/// Each group of k has its own scale and zero.
struct PackedWeight {
  WeightCode code;
  int n;
  int k;
  /// A multiple of 16; k for one scale a feature.
  int group;
  /// `packed_code_bytes` of the layout above, aligned to 16.
  const void* codes;
  ScaleType scale_type;
  /// [ceil(k / group)][ceil(n / 16)][8][2]: of features g and g + 8, `packed_scale_count` of them, aligned to
  /// a pair
  const void* scales;
  /// The same of zeros below 2^bits, a byte each; null when all are 2^(bits − 1), and for float8.
  const uint8_t* zeros;
};

int64_t packed_code_bytes(WeightCode code, int n, int k);
/// Of scales, and of zeros.
int64_t packed_scale_count(int n, int k, int group);

/// Brings codes, scales and zeros into the layout.
struct RepackArguments {
  WeightCode code;
  int n;
  int k;
  int group;
  /// Rows of codes as a stream of bits, the first in the lowest, `code_stride` bytes apart; words of 4 bytes
  /// but for codes of 8 bits.
  const void* codes;
  int64_t code_stride;
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

/// `invalid_arguments` for negative sizes, a group that is no positive multiple of 16 and not k, rows of
/// words that are none, or zeros of float8.
Status repack(Stream stream, const RepackArguments& arguments);

/// As GemmArguments, with `weight.n` columns of output.
struct WNA16Arguments {
  ElementType type;
  int m;
  PackedWeight weight;
  const void* input;
  int64_t input_stride;
  const float* bias;
  void* output;
  int64_t output_stride;
  bool accumulate;
  bool float_output;
};

/// Floats of workspace, as `gemm_workspace_floats` and `gemm_workspace_most`.
int64_t wna16_workspace_floats(int m, int n, int k);
int64_t wna16_workspace_most(int n, int k);

/// Codes minus zeros are multiplied exactly and summed in float over a group; the group's sum is scaled once.
/// A row's bits depend on its input and the weight only. `invalid_arguments` as `gemm_sm80` and `repack`.
Status gemm_wna16(Stream stream, const WNA16Arguments& arguments, const GemmWorkspace& workspace);

/// Elements from one row of a dequantised weight to the next, so that rows are aligned to 16 bytes.
int64_t dequantized_stride(int k);

/// [n, k] of `type`, rows `stride` elements apart, an even number: scale · (code − zero), rounded once.
Status dequantize(Stream stream, ElementType type, const PackedWeight& weight, void* output, int64_t stride);

/// Of `gemm_dequantized`, for any number of rows.
int64_t dequantized_workspace_bytes(int n, int k);

/// The same product with the weight dequantised first, which rounds each weight once: 2.5 bytes of traffic a
/// weight more, and then the dense product's speed. Rows' bits differ from `gemm_wna16`'s.
Status gemm_dequantized(Stream stream, const WNA16Arguments& arguments, bool has_wgmma, void* workspace,
                        int64_t bytes);

/// Whether `gemm_wna16_sm90` takes it: int4, groups a multiple of 64 or one a feature, k a multiple of 8,
/// rows aligned to 16 bytes, and there is something to compute.
bool gemm_wna16_sm90_supports(const WNA16Arguments& arguments);

/// TMA and wgmma (sm_90a). Sums k in order, so its bits are `gemm_wna16`'s only where that has one part.
/// `invalid_arguments` for what is not supported.
Status gemm_wna16_sm90(Stream stream, const WNA16Arguments& arguments);

}  // namespace gpu

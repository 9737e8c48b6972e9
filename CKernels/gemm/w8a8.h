// Products of activations that are rounded to 8 bits with weights of 8 bits, on the tensor cores for those.
//
//   q[t][k] = round(x[t][k] / s[t]),  s[t] = the token's largest size / the largest code
//   y[t][n] = s[t] · Σ_groups scale[n][g] · Σ q[t][k] · code[n][k]  +  outliers
//
// Codes are int8 (largest 127; ZeroQuant, arXiv 2206.01861) or E4M3 (largest 448; "FP8 Formats for Deep
// Learning", arXiv 2209.05433), those of the activations as those of the weight.
//
// With int8, components whose size reaches a threshold are left out of both and multiplied unrounded, by the
// dequantised weight (LLM.int8, arXiv 2208.07339). Which they are is decided on the device: `quantize_rows`
// leaves a bit for each run of 16 columns of a token, and the product visits the runs that some token of its
// block needs. So nothing waits for the host, and a captured launch fits every input.
#pragma once

#include "gemm/row_codes.h"
#include "gemm/wna16.h"

namespace gpu {

struct QuantizeRowsArguments {
  ElementType type;
  int rows;
  int k;
  const void* input;
  int64_t input_stride;
  RowCodes target;
};

Status quantize_rows(Stream stream, const QuantizeRowsArguments& arguments);

/// Whether rows can be rounded so.
bool is_legal(const RowCodes& target);

/// Rows of codes, `code_stride` bytes apart, to rows of `code_row_bytes`: E4M3 as they are, unsigned
/// integers, measured from 128, as signed ones.
struct CodeRowsArguments {
  RowCode code;
  int n;
  int k;
  const uint8_t* codes;
  int64_t code_stride;
  uint8_t* rows;
};

Status repack_code_rows(Stream stream, const CodeRowsArguments& arguments);

/// `count` elements of 16 bits.
Status copy_halves(Stream stream, const void* source, void* target, int64_t count);

struct W8A8Arguments {
  ElementType type;
  RowCode code;
  int m;
  int n;
  int k;
  /// A multiple of 32; k for one scale an output.
  int group;
  /// As `quantize_rows` leaves them.
  const uint8_t* codes;
  const float* row_scales;
  const uint32_t* outliers;
  /// The input itself, and from which size on it counts; as `outliers` not looked at with E4M3.
  const void* input;
  int64_t input_stride;
  float threshold;
  /// [n][code_row_bytes(k)], zeros behind the last column; aligned to 16
  const uint8_t* weight;
  ScaleType scale_type;
  /// [n][ceil(k / group)]
  const void* scales;
  const float* bias;
  void* output;
  int64_t output_stride;
  bool accumulate;
  bool float_output;
};

enum class W8A8Form { rows16, rows64, tile128 };

/// Every form gives the same bits; a row's depend on its input and the weight only. E4M3 needs sm_89.
/// `invalid_arguments` for negative sizes, strides shorter than rows, a k whose sums may not fit int32, or a
/// group that is neither.
Status gemm_w8a8(Stream stream, const W8A8Arguments& arguments);
Status gemm_w8a8_as(Stream stream, W8A8Form form, const W8A8Arguments& arguments);

/// Whether `gemm_w8a8_sm90` takes it: groups are a multiple of 128 or one an output, there are no outliers,
/// and there is something to compute.
bool gemm_w8a8_sm90_supports(const W8A8Arguments& arguments);

/// TMA and wgmma (sm_90a); int8 has the bits of `gemm_w8a8`. `invalid_arguments` for what is not supported.
Status gemm_w8a8_sm90(Stream stream, const W8A8Arguments& arguments);

}  // namespace gpu

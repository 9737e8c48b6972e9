// Products of 16-bit activations with 2:4 sparse weights, of 16 bits or of 4-bit codes.
//
// Weights are the left operand of mma.sp (rows are output features), whose fragments need no ldmatrix: they
// lie in memory as a lane wants them. With g = lane / 4, q = lane % 4, and "stored column" c of a step of 32
// k being the kept weight c % 2 of quad c / 2:
//
// ```
//   values     16 bits   [ceil(n / 16)][ceil(k / 32)][32 lanes][4 words]
//              word r: feature g + 8 (r % 2), stored columns 2q + 8 (r / 2) and the next
//
//   codes      4 bits    [ceil(n / 16)][ceil(k / 128)][32 lanes][4 words]      word s: step s of the 128
//              nibbles as in gemm/wna16.h, stored columns in place of k
//
//   metadata             [ceil(n / 16)][ceil(k / 64)][32 lanes] words
//              lanes with q / 2 == 0: the first 32 k of the 64, the others: the second
//              quads 4 (q % 2) + j: feature g in nibble j, feature g + 8 in nibble 4 + j
//              (device/mma_sparse.h)
// ```
// Sixteen bytes a lane feed one step of values, or four of codes. Past n and k values are 0, and metadata is
// legal.
#pragma once

#include "gemm/wna16.h"

namespace gpu {

/// Bytes of the layout above, each aligned to 16, and of scales, and of zeros of codes.
int64_t sparse24_value_bytes(int n, int k);
int64_t sparse24_code_bytes(int n, int k);
int64_t sparse24_metadata_bytes(int n, int k);
int64_t sparse24_scale_count(int n, int k, int group);

/// From what a safetensors file has of a weight to the layout.
struct Sparse24ReorderArguments {
  int n;
  int k;
  /// [n, ceil(k / 8)]: bit i % 8 of byte i / 8 of a row for input i; two of every four are set.
  const uint8_t* mask;
  /// [n, k / 2] 16-bit elements; or null, and codes.
  const void* values;
  /// [n, ceil(k / 16)] words of eight codes: code i of a row in bits 4 (i % 8) of word i / 8
  const uint32_t* codes;
  /// Of codes: inputs that share a scale, a multiple of 32 or k; scales and zeros (below 16, or null) [n,
  /// ceil(k / group)]
  int group;
  ScaleType scale_type;
  const void* scales;
  const uint8_t* zeros;
  /// Values, or codes.
  void* packed;
  uint32_t* metadata;
  /// [ceil(k / group)][ceil(n / 16)][8][2]: of features g and g + 8
  void* packed_scales;
  uint8_t* packed_zeros;
};

/// `invalid_arguments` for negative sizes, k that is no multiple of 4, both kinds of values or none, or
/// another group. A mask that is not 2:4 makes metadata that means nothing, but reads nothing outside:
/// whoever read it has checked it.
Status reorder_sparse24(Stream stream, const Sparse24ReorderArguments& arguments);

/// Prunes a dense weight on the device: of every four neighbours the two of largest size stay, of equals the
/// first.
struct Sparse24CompressArguments {
  int n;
  int k;
  /// [n, k] 16-bit elements, rows `stride` apart
  ElementType type;
  const void* weight;
  int64_t stride;
  /// [n, ceil(k / 8)] and [n, k / 2], as `Sparse24ReorderArguments` has them.
  uint8_t* mask;
  void* values;
};

/// NaN counts as larger than every number. `invalid_arguments` as `reorder_sparse24`, or a stride below k.
Status compress_sparse24(Stream stream, const Sparse24CompressArguments& arguments);

/// A weight in the layout.
struct Sparse24Weight {
  int n;
  int k;
  /// Aligned to 16. One of both.
  const void* values;
  const void* codes;
  const uint32_t* metadata;
  /// Of codes: scales and zeros as `reorder_sparse24` has written them; `zeros` null when all are 8.
  int group;
  ScaleType scale_type;
  const void* scales;
  const uint8_t* zeros;
};

/// As `GemmArguments`, with `weight.n` columns of output.
struct Sparse24Arguments {
  ElementType type;
  int m;
  Sparse24Weight weight;
  const void* input;
  int64_t input_stride;
  const float* bias;
  void* output;
  int64_t output_stride;
  bool accumulate;
  bool float_output;
};

int64_t sparse24_workspace_floats(int m, int n, int k);
int64_t sparse24_workspace_most(int n, int k);

/// mma.sp (sm_80 and later). Values are summed in order of k, codes group by group as `gemm_wna16` does; a
/// row's bits depend on its input and the weight only. `invalid_arguments` as `gemm_wna16`.
Status gemm_sparse24(Stream stream, const Sparse24Arguments& arguments, const GemmWorkspace& workspace);

}  // namespace gpu

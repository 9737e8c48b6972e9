// Products of 16-bit activations with 2:4 sparse weights, of 16 bits or of codes.
//
// Weights are the left operand of mma.sp and wgmma.sp (rows are output features), whose fragments need no
// ldmatrix: they lie in memory as a lane wants them. With g = lane / 4, q = lane % 4, and "stored column" c
// of a step of 32 k being the kept weight c % 2 of quad c / 2:
//
// ```
//   values     16 bits   [ceil(n / 16)][ceil(k / 32)][32 lanes][4 words]
//              word r: feature g + 8 (r % 2), stored columns 2q + 8 (r / 2) and the next
//
//   codes                the matrix [n, k / 2] of stored columns as gemm/wna16.h packs it: a span of it is
//                        128 k, a step of it 32 k, a group of it half a group
//
//   metadata             [ceil(n / 16)][ceil(k / 64)][32 lanes] words
//              lanes with q / 2 == 0: the first 32 k of the 64, the others: the second
//              quads 4 (q % 2) + j: feature g in nibble j, feature g + 8 in nibble 4 + j
//              (device/mma_sparse.h)
// ```
// Sixteen bytes a lane feed one step of values, two of int8 or four of int4. Past n and k weights count for
// nothing, and metadata is legal.
#pragma once

#include "gemm/wna16.h"

namespace gpu {

/// Bytes of the layout above, each aligned to 16.
int64_t sparse24_value_bytes(int n, int k);
int64_t sparse24_metadata_bytes(int n, int k);

/// From what a safetensors file has of a weight to the layout; of codes, `repack` makes the rest.
struct Sparse24ReorderArguments {
  int n;
  int k;
  /// [n, ceil(k / 8)]: bit i % 8 of byte i / 8 of a row for input i; two of every four are set.
  const uint8_t* mask;
  /// [n, k / 2] 16-bit elements, and where they go; both null for metadata alone.
  const void* values;
  void* packed;
  uint32_t* metadata;
};

/// `invalid_arguments` for negative sizes, k that is no multiple of 4, or values without a place. A mask that
/// is not 2:4 makes metadata that means nothing, but reads nothing outside: whoever read it has checked it.
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

/// A weight in the layout: values, or codes.
struct Sparse24Weight {
  int n;
  int k;
  /// Aligned to 16; null for codes.
  const void* values;
  const uint32_t* metadata;
  /// int4 or int8, of k / 2 columns, in groups of a multiple of 16 of them or one; not looked at with values.
  PackedWeight codes;
};

/// Whether the parts are there, aligned, and fit together.
bool is_legal_sparse24(const Sparse24Weight& weight);

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

/// Whether `gemm_sparse24_sm90` takes it: k a multiple of 128, groups a multiple of 128 inputs or one a
/// feature, rows aligned to 16 bytes, and there is something to compute.
bool gemm_sparse24_sm90_supports(const Sparse24Arguments& arguments);

/// TMA and wgmma.sp (sm_90a). Sums k in order, so its bits are `gemm_sparse24`'s only where that has one
/// part. `invalid_arguments` for what is not supported.
Status gemm_sparse24_sm90(Stream stream, const Sparse24Arguments& arguments);

/// [n, k] of `type`, rows `stride` elements apart, a multiple of 4: values as they are, codes as
/// scale · (code − zero), rounded once.
Status expand_sparse24(Stream stream, ElementType type, const Sparse24Weight& weight, void* output,
                       int64_t stride);

/// Of `gemm_expanded_sparse24`, for any number of rows.
int64_t expanded_sparse24_workspace_bytes(int n, int k);

/// The same product with the weight written out first, zeros and all: the dense product's speed for the price
/// of writing and reading the matrix. Rows' bits differ from `gemm_sparse24`'s.
Status gemm_expanded_sparse24(Stream stream, const Sparse24Arguments& arguments, bool has_wgmma,
                              void* workspace, int64_t bytes);

}  // namespace gpu

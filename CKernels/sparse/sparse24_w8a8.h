// Products of activations that are rounded to int8 with 2:4 sparse int8 weights, on the integer tensor cores.
//
// Weights are the left operand of mma.sp.m16n8k64. With g = lane / 4, q = lane % 4, and a step of 64 k having
// 32 stored columns:
//
// ```
//   codes      [ceil(n / 16)][ceil(k / 64)][32 lanes][4 words] of signed bytes
//              word r: feature g + 8 (r % 2), stored columns 4q + 16 (r / 2) and the three after it
//
//   metadata   [ceil(n / 16)][ceil(k / 64)][32 lanes] words
//              feature g + 8 (q % 2), quad 8 (q / 2) + j in nibble j            (device/mma_sparse.h)
// ```
// Past n and k codes are 0, and metadata is legal.
#pragma once

#include "gemm/w8a8.h"
#include "sparse/sparse24.h"

namespace gpu {

int64_t sparse24_int8_bytes(int n, int k);

/// From what a safetensors file has of a weight to the layout.
struct Sparse24Int8ReorderArguments {
  int n;
  int k;
  /// As `Sparse24ReorderArguments` has it.
  const uint8_t* mask;
  /// [n] rows of k / 2 unsigned codes, measured from 128, `code_stride` bytes apart
  const uint8_t* codes;
  int64_t code_stride;
  void* packed;
  /// `sparse24_metadata_bytes`, in this layout's order
  uint32_t* metadata;
};

Status reorder_sparse24_int8(Stream stream, const Sparse24Int8ReorderArguments& arguments);

struct Sparse24W8A8Arguments {
  /// Without `weight`, and without what concerns outliers: there are none. `group` is a multiple of 64, or k.
  W8A8Arguments gemm;
  /// Aligned to 16.
  const void* packed;
  const uint32_t* metadata;
};

enum class Sparse24W8A8Form { tokens16, tokens64, tile };

/// Integer sums are exact and groups are scaled in their order: the bits of `gemm_w8a8` on the weight with
/// its zeros, in every form. `invalid_arguments` as `gemm_w8a8`, or k that is no multiple of 4.
Status gemm_sparse24_w8a8(Stream stream, const Sparse24W8A8Arguments& arguments);
Status gemm_sparse24_w8a8_as(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Arguments& arguments);

}  // namespace gpu

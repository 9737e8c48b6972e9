// The product of activations and weights of 8 bits with TMA and wgmma (sm_90a).
//
// Rows of 128 codes are rows of 64 elements of 16 bits to TMA, to the swizzle and to descriptors: tiles, ring
// and output are those of the dense product (gemm/sm90/gemm.h). What the tensor cores sum is taken to float
// sums at the end of each group; of E4M3 after each 128 k, as in the general form (gemm/w8a8_kernel.h), whose
// bits this form has where the tensor cores sum exactly.
#pragma once

#include "device/wgmma_codes.h"
#include "gemm/sm90/gemm.h"
#include "gemm/w8a8_kernel.h"

namespace gpu {

/// The maps are of pairs of codes.
struct W8A8Sm90Call : GemmSm90Call {
  /// What scales are read of.
  W8A8Arguments codes;
  int groups;
  /// Tiles of k that are folded together, and a group is so many folds.
  int fold_tiles;
  int group_folds;
};

/// How codes of 8 bits are multiplied, and scaled.
template <class T, RowCode code>
struct W8A8Product {
  using Output = T;
  using Sum = typename CodeProduct<code>::Sum;
  using Call = W8A8Sm90Call;
  static constexpr bool folds = true;

  template <int tiles>
  GPU_DEVICE static void start(Sum (&sum)[tiles][4], MatrixDescriptor a, MatrixDescriptor b,
                               bool accumulate) {
    wgmma_codes(sum, a, b, accumulate);
  }

  /// Adds the products of one fold, scaled, to `folded`.
  template <int tiles>
  GPU_DEVICE static void fold(const Call& p, int first_column, int fold, const Sum (&products)[tiles][4],
                              float (&folded)[tiles][4]) {
    const int group = fold / p.group_folds;
    GPU_UNROLL
    for (int j = 0; j < tiles; ++j) {
      GPU_UNROLL
      for (int e = 0; e < 2; ++e) {
        const int column = first_column + 8 * j + 2 * (lane_index() % 4) + e;
        const float scale = column < p.codes.n ? weight_scale(p.codes, p.groups, column, group) : 0.0f;
        GPU_UNROLL
        for (int half = 0; half < 2; ++half) {
          float& sum = folded[j][2 * half + e];
          sum = fma_rn(scale, float(products[j][2 * half + e]), sum);
        }
      }
    }
  }

  /// Each row by its token's scale; a thread has the rows `row` and `row + 8`.
  template <int tiles>
  GPU_DEVICE static void finish(const Call& p, int row, float (&sum)[tiles][4]) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float scale = row + 8 * half < p.m ? p.codes.row_scales[row + 8 * half] : 0.0f;
      GPU_UNROLL
      for (int j = 0; j < tiles; ++j) {
        GPU_UNROLL
        for (int e = 0; e < 2; ++e) sum[j][2 * half + e] = multiply_rn(sum[j][2 * half + e], scale);
      }
    }
  }
};

template <class T>
Status run_w8a8_sm90(Stream stream, const W8A8Sm90Call& call) {
  return call.codes.code == RowCode::int8
             ? launch_gemm_sm90<W8A8Product<T, RowCode::int8>, GemmSm90Columns128>(stream, "w8a8_sm90", call)
             : launch_gemm_sm90<W8A8Product<T, RowCode::float8>, GemmSm90Columns128>(stream,
                                                                                     "w8a8_sm90<E4M3>", call);
}

Status w8a8_sm90_bf16(Stream stream, const W8A8Sm90Call& call);
Status w8a8_sm90_f16(Stream stream, const W8A8Sm90Call& call);

}  // namespace gpu

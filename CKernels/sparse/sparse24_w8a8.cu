// Which form of the product of int8 activations with 2:4 sparse int8 weights runs, and with what.

#include "sparse/sparse24_w8a8_kernel.h"

namespace gpu {
namespace {

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

Sparse24W8A8Form form_of(int m, int n) {
  constexpr int64_t enough_blocks = 96;
  const int64_t blocks =
      int64_t(rounded_up(m, Sparse24W8A8Tile::tokens)) * rounded_up(n, Sparse24W8A8Tile::features);
  if (m > 64 && blocks >= enough_blocks) return Sparse24W8A8Form::tile;
  return m <= 16 ? Sparse24W8A8Form::tokens16 : Sparse24W8A8Form::tokens64;
}

int tokens_of(Sparse24W8A8Form form) {
  return form == Sparse24W8A8Form::tokens16   ? Sparse24W8A8Tokens16::tokens
         : form == Sparse24W8A8Form::tokens64 ? Sparse24W8A8Tokens64::tokens
                                              : Sparse24W8A8Tile::tokens;
}

}  // namespace

Status gemm_sparse24_w8a8_as(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Arguments& sparse) {
  const W8A8Arguments& a = sparse.gemm;
  constexpr int most_blocks = 65535;  // the grid's y axis
  // Sums of products of up to 128 · 128 must fit int32.
  constexpr int deepest = 131071;
  if (a.m < 0 || a.n < 0 || a.k <= 0 || a.k % 4 != 0 || a.k > deepest || a.code != RowCode::int8 ||
      a.output_stride < a.n || rounded_up(a.m, tokens_of(form)) > most_blocks) {
    return invalid_arguments;
  }
  if (a.group <= 0 || (a.group % 64 != 0 && a.group != a.k)) return invalid_arguments;
  if (!sparse.metadata || !sparse.packed ||
      (reinterpret_cast<uintptr_t>(a.codes) | reinterpret_cast<uintptr_t>(sparse.packed) |
       reinterpret_cast<uintptr_t>(sparse.metadata)) %
              16 !=
          0) {
    return invalid_arguments;
  }
  if (a.m == 0 || a.n == 0) return 0;
  const GemmArguments as_dense = {a.type,        a.m, a.n,    a.k,      a.input,         a.k,
                                  nullptr,       a.k, a.bias, a.output, a.output_stride, a.accumulate,
                                  a.float_output};
  Sparse24W8A8Call c = {sparse, OutputShape::of(as_dense), rounded_up(a.k, Sparse24W8A8Tile::codes),
                        rounded_up(a.k, a.group)};
  // One group a row: any that holds all of k will do.
  if (a.group == a.k) c.sparse.gemm.group = c.tiles * Sparse24W8A8Tile::codes;
  return a.type == ElementType::bfloat16 ? sparse24_w8a8_bf16(stream, form, c)
                                         : sparse24_w8a8_f16(stream, form, c);
}

Status gemm_sparse24_w8a8(Stream stream, const Sparse24W8A8Arguments& arguments) {
  return gemm_sparse24_w8a8_as(stream, form_of(arguments.gemm.m, arguments.gemm.n), arguments);
}

}  // namespace gpu

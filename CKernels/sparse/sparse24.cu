// Which form of the product with 2:4 sparse weights runs, and with what.

#include "elementwise/vectors.h"
#include "gemm/parts.h"
#include "sparse/sparse24_kernel.h"

namespace gpu {
namespace {

/// The most rows for which k is split over blocks.
constexpr int most_split_rows = 256;
/// The end of the grid's y and z axes.
constexpr int most_blocks = 65535;

using Shapes = Sparse24Shapes<Sparse24Kind::values>;

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

Parts parts_of(int n, int k) {
  constexpr int least_tiles = 2;
  return Parts::of(rounded_up(k, Shapes::Whole::depth), rounded_up(n, Shapes::Tokens8::features),
                   least_tiles);
}

Sparse24Form form_of(int m) {
  if (m > most_split_rows) return Sparse24Form::tile;
  return m <= 8    ? Sparse24Form::tokens8
         : m <= 16 ? Sparse24Form::tokens16
         : m <= 32 ? Sparse24Form::tokens32
                   : Sparse24Form::tokens64;
}

int64_t workspace_floats(Sparse24Form form, int m, int n, int k) {
  const Parts parts = parts_of(n, k);
  return form == Sparse24Form::tile || parts.count == 1 ? 0 : int64_t(parts.count) * m * n;
}

bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

Status run(Stream stream, Sparse24Form form, const Sparse24Call& c) {
  const Sparse24Weight& w = c.gemm.weight;
  const bool is_bf16 = c.gemm.type == ElementType::bfloat16;
  if (w.values) return is_bf16 ? sparse24_bf16(stream, form, c) : sparse24_f16(stream, form, c);
  if (w.codes.code == WeightCode::int8) {
    return is_bf16 ? sparse24_int8_bf16(stream, form, c) : sparse24_int8_f16(stream, form, c);
  }
  return is_bf16 ? sparse24_int4_bf16(stream, form, c) : sparse24_int4_f16(stream, form, c);
}

}  // namespace

bool is_legal_sparse24(const Sparse24Weight& w) {
  if (!w.metadata || !is_aligned(w.metadata)) return false;
  if (w.values) return is_aligned(w.values);
  const PackedWeight& c = w.codes;
  return (c.code == WeightCode::int4 || c.code == WeightCode::int8) && c.n == w.n && c.k == w.k / 2 &&
         c.codes && is_aligned(c.codes) && c.group > 0 && (c.group % 16 == 0 || c.group == c.k);
}

int64_t sparse24_workspace_floats(int m, int n, int k) { return workspace_floats(form_of(m), m, n, k); }

int64_t sparse24_workspace_most(int n, int k) {
  return workspace_floats(Sparse24Form::tokens64, most_split_rows, n, k);
}

Status gemm_sparse24_as(Stream stream, Sparse24Form form, const Sparse24Arguments& a,
                        const GemmWorkspace& workspace) {
  const Sparse24Weight& w = a.weight;
  if (a.m < 0 || w.n < 0 || w.k < 0 || w.k % 4 != 0 || a.input_stride < w.k || a.output_stride < w.n)
    return invalid_arguments;
  if (w.k > 0 && w.n > 0 && !is_legal_sparse24(w)) return invalid_arguments;
  if (form == Sparse24Form::tile ? rounded_up(a.m, Shapes::Whole::tokens) > most_blocks
                                 : a.m > most_split_rows) {
    return invalid_arguments;
  }
  if (a.m == 0 || w.n == 0) return 0;
  const int64_t floats = workspace_floats(form, a.m, w.n, w.k);
  if (floats > 0 && (!workspace.partials || workspace.floats < floats)) return invalid_arguments;

  const Parts parts = parts_of(w.n, w.k);
  const GemmArguments as_dense = {a.type,          a.m,          w.n,           w.k,    a.input,
                                  a.input_stride,  nullptr,      w.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  Sparse24Call c = {a,
                    OutputShape::of(as_dense),
                    floats > 0 ? workspace.partials : nullptr,
                    parts.part_tiles,
                    rounded_up(w.k, Shapes::Whole::depth),
                    allows_vectors(a.input_stride, a.input)};
  // One group a feature: any multiple of a step that holds all of k will do.
  PackedWeight& codes = c.gemm.weight.codes;
  if (!w.values && codes.group == codes.k) codes.group = rounded_up(codes.k, 16) * 16;
  const Status status = run(stream, form, c);
  if (status != 0 || !c.partials) return status;
  return sum_parts(stream, a.type, c.output, a.m, parts.count, c.partials);
}

Status gemm_sparse24(Stream stream, const Sparse24Arguments& arguments, const GemmWorkspace& workspace) {
  return gemm_sparse24_as(stream, form_of(arguments.m), arguments, workspace);
}

}  // namespace gpu

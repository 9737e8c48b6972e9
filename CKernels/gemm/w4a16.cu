// Which form of the product with 4-bit weights runs, and with what.

#include "elementwise/vectors.h"
#include "gemm/parts.h"
#include "gemm/w4a16_kernel.h"

namespace gpu {
namespace {

/// The most rows for which k is split over blocks.
constexpr int most_split_rows = 256;
/// The end of the grid's y and z axes.
constexpr int most_blocks = 65535;

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

Parts parts_of(int n, int k) {
  constexpr int least_tiles = 2;
  return Parts::of(rounded_up(k, W4A16Tile::depth), rounded_up(n, W4A16Tokens8::features), least_tiles);
}

W4A16Form form_of(int m) {
  if (m > most_split_rows) return W4A16Form::tile;
  return m <= 8    ? W4A16Form::tokens8
         : m <= 16 ? W4A16Form::tokens16
         : m <= 32 ? W4A16Form::tokens32
                   : W4A16Form::tokens64;
}

int64_t workspace_floats(W4A16Form form, int m, int n, int k) {
  const Parts parts = parts_of(n, k);
  return form == W4A16Form::tile || parts.count == 1 ? 0 : int64_t(parts.count) * m * n;
}

bool is_group(int group, int k) { return group > 0 && (group % 16 == 0 || group == k); }

}  // namespace

int64_t w4a16_workspace_floats(int m, int n, int k) { return workspace_floats(form_of(m), m, n, k); }

int64_t w4a16_workspace_most(int n, int k) {
  return workspace_floats(W4A16Form::tokens64, most_split_rows, n, k);
}

Status gemm_w4a16_as(Stream stream, W4A16Form form, const W4A16Arguments& a, const GemmWorkspace& workspace) {
  const Int4Weight& w = a.weight;
  if (a.m < 0 || w.n < 0 || w.k < 0 || a.input_stride < w.k || a.output_stride < w.n)
    return invalid_arguments;
  if (w.k > 0 && (!is_group(w.group, w.k) || reinterpret_cast<uintptr_t>(w.codes) % 16 != 0)) {
    return invalid_arguments;
  }
  if (form == W4A16Form::tile ? rounded_up(a.m, W4A16Tile::tokens) > most_blocks : a.m > most_split_rows) {
    return invalid_arguments;
  }
  if (a.m == 0 || w.n == 0) return 0;
  const int64_t floats = workspace_floats(form, a.m, w.n, w.k);
  if (floats > 0 && (!workspace.partials || workspace.floats < floats)) return invalid_arguments;

  const Parts parts = parts_of(w.n, w.k);
  const GemmArguments as_dense = {a.type,          a.m,          w.n,           w.k,    a.input,
                                  a.input_stride,  nullptr,      w.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  W4A16Call c = {a,
                 OutputShape::of(as_dense),
                 floats > 0 ? workspace.partials : nullptr,
                 parts.part_tiles,
                 rounded_up(w.k, W4A16Tile::depth),
                 allows_vectors(a.input_stride, a.input)};
  // One group a feature: any multiple of a step that holds all of k will do.
  if (w.k > 0 && w.group == w.k) c.gemm.weight.group = rounded_up(w.k, 16) * 16;
  Status status = a.type == ElementType::bfloat16 ? w4a16_bf16(stream, form, c) : w4a16_f16(stream, form, c);
  if (status != 0 || !c.partials) return status;
  return sum_parts(stream, a.type, c.output, a.m, parts.count, c.partials);
}

Status gemm_w4a16(Stream stream, const W4A16Arguments& arguments, const GemmWorkspace& workspace) {
  return gemm_w4a16_as(stream, form_of(arguments.m), arguments, workspace);
}

}  // namespace gpu

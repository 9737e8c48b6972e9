// Which form of the product with weights of few bits runs, and with what.

#include "elementwise/vectors.h"
#include "gemm/parts.h"
#include "gemm/wna16_kernel.h"

namespace gpu {
namespace {

/// The most rows for which k is split over blocks.
constexpr int most_split_rows = 256;
/// The end of the grid's y and z axes.
constexpr int most_blocks = 65535;

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

Parts parts_of(int n, int k) {
  constexpr int least_tiles = 2;
  return Parts::of(rounded_up(k, WNA16Tile::depth), rounded_up(n, WNA16Tokens8::features), least_tiles);
}

WNA16Form form_of(int m) {
  if (m > most_split_rows) return WNA16Form::tile;
  return m <= 8    ? WNA16Form::tokens8
         : m <= 16 ? WNA16Form::tokens16
         : m <= 32 ? WNA16Form::tokens32
                   : WNA16Form::tokens64;
}

int64_t workspace_floats(WNA16Form form, int m, int n, int k) {
  const Parts parts = parts_of(n, k);
  return form == WNA16Form::tile || parts.count == 1 ? 0 : int64_t(parts.count) * m * n;
}

Status run(Stream stream, WNA16Form form, const WNA16Call& c) {
  const bool is_bf16 = c.gemm.type == ElementType::bfloat16;
  switch (c.gemm.weight.code) {
    case WeightCode::int4:
      return is_bf16 ? wna16_int4_bf16(stream, form, c) : wna16_int4_f16(stream, form, c);
    case WeightCode::int2:
      return is_bf16 ? wna16_int2_bf16(stream, form, c) : wna16_int2_f16(stream, form, c);
    case WeightCode::int3:
      return is_bf16 ? wna16_int3_bf16(stream, form, c) : wna16_int3_f16(stream, form, c);
    case WeightCode::int8:
      return is_bf16 ? wna16_int8_bf16(stream, form, c) : wna16_int8_f16(stream, form, c);
    case WeightCode::float8:
      return is_bf16 ? wna16_float8_bf16(stream, form, c) : wna16_float8_f16(stream, form, c);
  }
  return invalid_arguments;
}

bool is_group(int group, int k) { return group > 0 && (group % 16 == 0 || group == k); }

}  // namespace

int64_t wna16_workspace_floats(int m, int n, int k) { return workspace_floats(form_of(m), m, n, k); }

int64_t wna16_workspace_most(int n, int k) {
  return workspace_floats(WNA16Form::tokens64, most_split_rows, n, k);
}

Status gemm_wna16_as(Stream stream, WNA16Form form, const WNA16Arguments& a, const GemmWorkspace& workspace) {
  const PackedWeight& w = a.weight;
  if (a.m < 0 || w.n < 0 || w.k < 0 || a.input_stride < w.k || a.output_stride < w.n)
    return invalid_arguments;
  if (w.k > 0 && (!is_group(w.group, w.k) || reinterpret_cast<uintptr_t>(w.codes) % 16 != 0)) {
    return invalid_arguments;
  }
  if (form == WNA16Form::tile ? rounded_up(a.m, WNA16Tile::tokens) > most_blocks : a.m > most_split_rows) {
    return invalid_arguments;
  }
  if (a.m == 0 || w.n == 0) return 0;
  const int64_t floats = workspace_floats(form, a.m, w.n, w.k);
  if (floats > 0 && (!workspace.partials || workspace.floats < floats)) return invalid_arguments;

  const Parts parts = parts_of(w.n, w.k);
  const GemmArguments as_dense = {a.type,          a.m,          w.n,           w.k,    a.input,
                                  a.input_stride,  nullptr,      w.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  WNA16Call c = {a,
                 OutputShape::of(as_dense),
                 floats > 0 ? workspace.partials : nullptr,
                 parts.part_tiles,
                 rounded_up(w.k, WNA16Tile::depth),
                 allows_vectors(a.input_stride, a.input)};
  // One group a feature: any multiple of a step that holds all of k will do.
  if (w.k > 0 && w.group == w.k) c.gemm.weight.group = rounded_up(w.k, 16) * 16;
  Status status = run(stream, form, c);
  if (status != 0 || !c.partials) return status;
  return sum_parts(stream, a.type, c.output, a.m, parts.count, c.partials);
}

Status gemm_wna16(Stream stream, const WNA16Arguments& arguments, const GemmWorkspace& workspace) {
  return gemm_wna16_as(stream, form_of(arguments.m), arguments, workspace);
}

}  // namespace gpu

// Which form of the dense matrix product runs, and with what.

#include "elementwise/vectors.h"
#include "gemm/parts.h"
#include "gemm/sm80.h"

namespace gpu {
namespace {

constexpr int depth = GemmTile128::depth;
/// The most rows for which k is split over blocks.
constexpr int most_split_rows = 256;

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

Parts parts_of(int n, int k) {
  constexpr int least_tiles = 4;
  return Parts::of(rounded_up(k, depth), rounded_up(n, GemmRows64::columns), least_tiles);
}

/// The large form when it fills most of a device, or when the parts of so many rows would cost more memory
/// traffic than they save.
GemmForm form_of(int m, int n) {
  constexpr int64_t enough_blocks = 96;
  const int64_t blocks = int64_t(rounded_up(m, GemmTile128::rows)) * rounded_up(n, GemmTile128::columns);
  if (m > most_split_rows || (m > 64 && blocks >= enough_blocks)) return GemmForm::tile128;
  return m <= 16 ? GemmForm::rows16 : m <= 32 ? GemmForm::rows32 : GemmForm::rows64;
}

int64_t workspace_floats(GemmForm form, int m, int n, int k) {
  const Parts parts = parts_of(n, k);
  return form == GemmForm::tile128 || parts.count == 1 ? 0 : int64_t(parts.count) * m * n;
}

bool has_row(int64_t stride, int width) { return width >= 0 && stride >= width; }

}  // namespace

int64_t gemm_workspace_floats(int m, int n, int k) { return workspace_floats(form_of(m, n), m, n, k); }

int64_t gemm_workspace_most(int n, int k) {
  const Parts parts = parts_of(n, k);
  return parts.count == 1 ? 0 : int64_t(parts.count) * most_split_rows * n;
}

Status gemm_sm80_as(Stream stream, GemmForm form, const GemmArguments& a, const GemmWorkspace& workspace) {
  constexpr int most_columns = 65535 * GemmTile128::columns;  // the grid's y axis
  if (a.m < 0 || !has_row(a.input_stride, a.k) || !has_row(a.weight_stride, a.k) ||
      !has_row(a.output_stride, a.n) || a.n > most_columns) {
    return invalid_arguments;
  }
  if (form != GemmForm::tile128 && a.m > most_split_rows) return invalid_arguments;
  if (a.m == 0 || a.n == 0) return 0;
  const int64_t floats = workspace_floats(form, a.m, a.n, a.k);
  if (floats > 0 && (!workspace.partials || workspace.floats < floats)) return invalid_arguments;

  const Parts parts = parts_of(a.n, a.k);
  GemmCall c = {a,
                OutputShape::of(a),
                floats > 0 ? workspace.partials : nullptr,
                parts.part_tiles,
                rounded_up(a.k, depth),
                allows_vectors(a.input_stride | a.weight_stride, a.input, a.weight)};
  Status status = a.type == ElementType::bfloat16 ? gemm_bf16(stream, form, c) : gemm_f16(stream, form, c);
  if (status != 0 || !c.partials) return status;
  return sum_parts(stream, a.type, c.output, a.m, parts.count, c.partials);
}

Status gemm_sm80(Stream stream, const GemmArguments& arguments, const GemmWorkspace& workspace) {
  return gemm_sm80_as(stream, form_of(arguments.m, arguments.n), arguments, workspace);
}

}  // namespace gpu

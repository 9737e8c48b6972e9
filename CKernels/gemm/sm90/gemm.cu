// Which form of the matrix product with wgmma runs, and with what maps.

#include "elementwise/vectors.h"
#include "gemm/sm90/gemm.h"

namespace gpu {
namespace {

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

int tile_columns(GemmSm90Form form) {
  return form == GemmSm90Form::columns256 ? GemmSm90Columns256::columns : GemmSm90Columns128::columns;
}

/// The wide tile reads fewer operands for each product, but leaves more multiprocessors idle at the end.
/// Compares how many rounds each takes; a narrow one is given a tenth more than half the time of a wide one.
GemmSm90Form form_of(Stream stream, const GemmArguments& a) {
  const int multiprocessors = multiprocessor_count(stream);
  auto rounds = [&](GemmSm90Form form) {
    const int64_t tiles =
        int64_t(rounded_up(a.m, GemmSm90Columns128::rows)) * rounded_up(a.n, tile_columns(form));
    return rounded_up(tiles, multiprocessors);
  };
  return rounds(GemmSm90Form::columns256) * 20 <= rounds(GemmSm90Form::columns128) * 11
             ? GemmSm90Form::columns256
             : GemmSm90Form::columns128;
}

}  // namespace

bool gemm_sm90_supports(const GemmArguments& a) {
  constexpr int64_t most_tiles = 1 << 30;
  return a.m > 0 && a.n > 0 && a.k > 0 && a.k % 8 == 0 && a.input_stride >= a.k && a.weight_stride >= a.k &&
         a.output_stride >= a.n && allows_vectors(a.input_stride | a.weight_stride, a.input, a.weight) &&
         int64_t(rounded_up(a.m, GemmSm90Columns128::rows)) * rounded_up(a.n, GemmSm90Columns128::columns) <=
             most_tiles;
}

Status gemm_sm90_as(Stream stream, GemmSm90Form form, const GemmArguments& a) {
  if (!gemm_sm90_supports(a)) return invalid_arguments;
  GemmSm90Call call = {};
  call.output = OutputShape::of(a);
  call.m = a.m;
  call.row_tiles = rounded_up(a.m, GemmSm90Columns128::rows);
  call.column_tiles = rounded_up(a.n, tile_columns(form));
  call.depth_tiles = rounded_up(a.k, GemmSm90Columns128::depth);
  call.stores_boxes = !a.accumulate && !a.float_output && allows_vectors(a.output_stride, a.output);
  Status status = encode_tensor_map(
      call.input, gemm_sm90_matrix(a.input, a.m, a.k, a.input_stride, GemmSm90Columns128::rows));
  if (status == 0) {
    status = encode_tensor_map(call.weight,
                               gemm_sm90_matrix(a.weight, a.n, a.k, a.weight_stride, tile_columns(form)));
  }
  if (status == 0 && call.stores_boxes) {
    status = encode_tensor_map(
        call.boxes, gemm_sm90_matrix(a.output, a.m, a.n, a.output_stride, GemmSm90Columns128::consumer_rows));
  }
  if (status != 0) return status;
  return a.type == ElementType::bfloat16 ? gemm_sm90_bf16(stream, form, call)
                                         : gemm_sm90_f16(stream, form, call);
}

Status gemm_sm90(Stream stream, const GemmArguments& arguments) {
  return gemm_sm90_as(stream, form_of(stream, arguments), arguments);
}

}  // namespace gpu

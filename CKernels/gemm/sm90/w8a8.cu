// What of the product of activations and weights of 8 bits runs with wgmma, and with what maps.

#include "elementwise/vectors.h"
#include "gemm/sm90/w8a8.h"

namespace gpu {
namespace {

using Shape = GemmSm90Columns128;
constexpr int tile_codes = 2 * Shape::depth;

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

}  // namespace

bool gemm_w8a8_sm90_supports(const W8A8Arguments& a) {
  constexpr int64_t most_tiles = 1 << 30;
  // Sums of products of up to 128 · 128 must fit int32.
  constexpr int deepest = 131071;
  return a.m > 0 && a.n > 0 && a.k > 0 && (a.code == RowCode::float8 || a.k <= deepest) && a.group > 0 &&
         (a.group % tile_codes == 0 || a.group == a.k) && std::isinf(a.threshold) && a.output_stride >= a.n &&
         (reinterpret_cast<uintptr_t>(a.codes) | reinterpret_cast<uintptr_t>(a.weight)) % 16 == 0 &&
         int64_t(rounded_up(a.m, Shape::rows)) * rounded_up(a.n, Shape::columns) <= most_tiles;
}

Status gemm_w8a8_sm90(Stream stream, const W8A8Arguments& a) {
  if (!gemm_w8a8_sm90_supports(a)) return invalid_arguments;
  const GemmArguments as_dense = {a.type,          a.m,          a.n,           a.k,    a.input,
                                  a.input_stride,  nullptr,      a.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  const int row_pairs = int(code_row_bytes(a.k) / 2);
  W8A8Sm90Call call = {};
  call.output = OutputShape::of(as_dense);
  call.m = a.m;
  call.row_tiles = rounded_up(a.m, Shape::rows);
  call.column_tiles = rounded_up(a.n, Shape::columns);
  call.depth_tiles = rounded_up(a.k, tile_codes);
  call.stores_boxes = !a.accumulate && !a.float_output && allows_vectors(a.output_stride, a.output);
  call.codes = a;
  call.groups = rounded_up(a.k, a.group);
  const int group_tiles = a.group == a.k ? call.depth_tiles : a.group / tile_codes;
  call.fold_tiles = a.code == RowCode::float8 ? 1 : group_tiles;
  call.group_folds = group_tiles / call.fold_tiles;
  Status status =
      encode_tensor_map(call.input, gemm_sm90_matrix(a.codes, a.m, row_pairs, row_pairs, Shape::rows));
  if (status == 0) {
    status =
        encode_tensor_map(call.weight, gemm_sm90_matrix(a.weight, a.n, row_pairs, row_pairs, Shape::columns));
  }
  if (status == 0 && call.stores_boxes) {
    status = encode_tensor_map(call.boxes,
                               gemm_sm90_matrix(a.output, a.m, a.n, a.output_stride, Shape::consumer_rows));
  }
  if (status != 0) return status;
  return a.type == ElementType::bfloat16 ? w8a8_sm90_bf16(stream, call) : w8a8_sm90_f16(stream, call);
}

}  // namespace gpu

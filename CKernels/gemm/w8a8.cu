// Which form of the product of activations and weights of 8 bits runs, and with what.

#include <numeric>

#include "gemm/w8a8_kernel.h"

namespace gpu {
namespace {

int rounded_up(int64_t count, int unit) { return int((count + unit - 1) / unit); }

W8A8Form form_of(int m, int n) {
  constexpr int64_t enough_blocks = 96;
  const int64_t blocks = int64_t(rounded_up(m, W8A8Tile128::rows)) * rounded_up(n, W8A8Tile128::columns);
  if (m > 64 && blocks >= enough_blocks) return W8A8Form::tile128;
  return m <= 16 ? W8A8Form::rows16 : W8A8Form::rows64;
}

}  // namespace

Status gemm_w8a8_as(Stream stream, W8A8Form form, const W8A8Arguments& a) {
  constexpr int most_columns = 65535 * W8A8Rows64::columns;  // the grid's y axis
  if (a.m < 0 || a.n < 0 || a.k <= 0 || a.n > most_columns || a.input_stride < a.k || a.output_stride < a.n) {
    return invalid_arguments;
  }
  // Sums of products of up to 128 · 128 must fit int32.
  constexpr int deepest = 131071;
  if (a.code == RowCode::int8 && a.k > deepest) return invalid_arguments;
  if (a.group <= 0 || (a.group % 32 != 0 && a.group != a.k)) return invalid_arguments;
  if ((reinterpret_cast<uintptr_t>(a.codes) | reinterpret_cast<uintptr_t>(a.weight)) % 16 != 0) {
    return invalid_arguments;
  }
  if (a.m == 0 || a.n == 0) return 0;
  const GemmArguments as_dense = {a.type,          a.m,          a.n,           a.k,    a.input,
                                  a.input_stride,  nullptr,      a.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  constexpr int codes = W8A8Tile128::codes, step = 32;
  W8A8Call c = {a, OutputShape::of(as_dense), rounded_up(a.k, codes), rounded_up(a.k, a.group), 0, 1};
  // One group a row: any that holds all of k will do.
  if (a.group == a.k) c.gemm.group = c.tiles * codes;
  c.fold_steps = rounded_up(c.gemm.group, step);
  if (a.code == RowCode::int8) {
    return a.type == ElementType::bfloat16 ? w8a8_bf16(stream, form, c) : w8a8_f16(stream, form, c);
  }
  const int most_steps = codes / step;
  c.group_folds = c.fold_steps / std::gcd(c.fold_steps, most_steps);
  c.fold_steps /= c.group_folds;
  return a.type == ElementType::bfloat16 ? w8a8_float8_bf16(stream, form, c)
                                         : w8a8_float8_f16(stream, form, c);
}

Status gemm_w8a8(Stream stream, const W8A8Arguments& arguments) {
  return gemm_w8a8_as(stream, form_of(arguments.m, arguments.n), arguments);
}

}  // namespace gpu

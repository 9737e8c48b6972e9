// What the product with 4-bit weights on wgmma takes, and with which map.

#include "elementwise/vectors.h"
#include "gemm/sm90/wna16.h"

namespace gpu {

bool gemm_wna16_sm90_supports(const WNA16Arguments& a) {
  using Shape = WNA16Sm90Shape<WeightCode::int4>;
  const PackedWeight& w = a.weight;
  return w.code == WeightCode::int4 && a.m > 0 && a.m <= 65535 * Shape::tokens && w.n > 0 && w.k > 0 &&
         w.k % 8 == 0 && (w.group == w.k || (w.group > 0 && w.group % 64 == 0)) && a.input_stride >= w.k &&
         a.output_stride >= w.n && allows_vectors(a.input_stride, a.input, w.codes);
}

Status gemm_wna16_sm90(Stream stream, const WNA16Arguments& a) {
  if (!gemm_wna16_sm90_supports(a)) return invalid_arguments;
  using Shape = WNA16Sm90Shape<WeightCode::int4>;
  const PackedWeight& w = a.weight;
  const GemmArguments as_dense = {a.type,          a.m,          w.n,           w.k,    a.input,
                                  a.input_stride,  nullptr,      w.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  WNA16Sm90Call call = {};
  call.weight = w;
  call.output = OutputShape::of(as_dense);
  call.m = a.m;
  call.spans = (w.k + 63) / 64;
  call.blocks = (w.n + 15) / 16;
  // One group a feature: any multiple of a span that holds all of k will do.
  if (w.group == w.k) call.weight.group = call.spans * 64;
  const TensorMapDescription tokens = {
      a.input, 2, 2, {w.k, a.m}, {0, a.input_stride * 2}, {64, Shape::tokens}, Swizzle::bytes_128};
  const Status status = encode_tensor_map(call.input, tokens);
  if (status != 0) return status;
  return a.type == ElementType::bfloat16 ? wna16_sm90_bf16(stream, call) : wna16_sm90_f16(stream, call);
}

}  // namespace gpu

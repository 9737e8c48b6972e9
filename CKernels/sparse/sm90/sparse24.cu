// What the product with 2:4 sparse weights on wgmma.sp takes, and with which map.

#include "elementwise/vectors.h"
#include "sparse/sm90/sparse24.h"

namespace gpu {

bool gemm_sparse24_sm90_supports(const Sparse24Arguments& a) {
  using Shape = Sparse24Sm90Shape<Sparse24Kind::values>;
  const Sparse24Weight& w = a.weight;
  if (a.m <= 0 || a.m > 65535 * Shape::tokens || w.n <= 0 || w.k <= 0 || w.k % Shape::depth != 0 ||
      a.input_stride < w.k || a.output_stride < w.n || !is_legal_sparse24(w)) {
    return false;
  }
  const bool grouped = w.values || w.codes.group == w.codes.k || w.codes.group % (Shape::depth / 2) == 0;
  return grouped && allows_vectors(a.input_stride, a.input);
}

Status gemm_sparse24_sm90(Stream stream, const Sparse24Arguments& a) {
  if (!gemm_sparse24_sm90_supports(a)) return invalid_arguments;
  using Shape = Sparse24Sm90Shape<Sparse24Kind::values>;
  const Sparse24Weight& w = a.weight;
  const GemmArguments as_dense = {a.type,          a.m,          w.n,           w.k,    a.input,
                                  a.input_stride,  nullptr,      w.k,           a.bias, a.output,
                                  a.output_stride, a.accumulate, a.float_output};
  Sparse24Sm90Call call = {};
  call.weight = w;
  call.output = OutputShape::of(as_dense);
  call.m = a.m;
  call.tiles = w.k / Shape::depth;
  call.blocks = (w.n + 15) / 16;
  const TensorMapDescription tokens = {
      a.input, 2, 2, {w.k, a.m}, {0, a.input_stride * 2}, {64, Shape::tokens}, Swizzle::bytes_128};
  const Status status = encode_tensor_map(call.input, tokens);
  if (status != 0) return status;
  return a.type == ElementType::bfloat16 ? sparse24_sm90_bf16(stream, call) : sparse24_sm90_f16(stream, call);
}

}  // namespace gpu

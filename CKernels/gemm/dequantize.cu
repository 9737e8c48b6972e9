// Weights of few bits as plain matrices, and the product that multiplies them so: for many tokens, where the
// tensor cores and not the weight's bytes set the time.

#include "gemm/dequantize.h"

namespace gpu {
namespace {

int64_t rounded_up(int64_t count, int unit) { return (count + unit - 1) / unit * unit; }

}  // namespace

int64_t dequantized_stride(int k) { return rounded_up(k, 8); }

Status dequantize(Stream stream, ElementType type, const PackedWeight& weight, void* output, int64_t stride) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  const PackedWeight& w = weight;
  if (w.n < 0 || w.k < 0 || w.n > most_features || stride < w.k || stride % 2 != 0) return invalid_arguments;
  if (w.n == 0 || w.k == 0) return 0;
  if (w.group <= 0 || (w.group % 16 != 0 && w.group != w.k)) return invalid_arguments;
  if (reinterpret_cast<uintptr_t>(output) % 4 != 0 || reinterpret_cast<uintptr_t>(w.codes) % 16 != 0) {
    return invalid_arguments;
  }
  const DequantizeCall c = {w, output, stride, (w.n + 15) / 16, (w.k + 63) / 64};
  return type == ElementType::bfloat16 ? run_dequantize<bf16>(stream, c) : run_dequantize<f16>(stream, c);
}

int64_t dequantized_workspace_bytes(int n, int k) {
  return rounded_up(n * dequantized_stride(k) * 2, 256) +
         gemm_workspace_most(n, int(dequantized_stride(k))) * 4;
}

Status gemm_dequantized(Stream stream, const WNA16Arguments& a, bool has_wgmma, void* workspace,
                        int64_t bytes) {
  const PackedWeight& w = a.weight;
  if (bytes < dequantized_workspace_bytes(w.n, w.k)) return invalid_arguments;
  const int64_t stride = dequantized_stride(w.k);
  const Status status = dequantize(stream, a.type, w, workspace, stride);
  if (status != 0) return status;
  const GemmArguments gemm = {a.type,          a.m,          w.n,           w.k,    a.input,
                              a.input_stride,  workspace,    stride,        a.bias, a.output,
                              a.output_stride, a.accumulate, a.float_output};
  if (has_wgmma && gemm_sm90_supports(gemm)) return gemm_sm90(stream, gemm);
  const int64_t matrix = rounded_up(w.n * stride * 2, 256);
  auto* partials = reinterpret_cast<float*>(static_cast<unsigned char*>(workspace) + matrix);
  return gemm_sm80(stream, gemm, {partials, (bytes - matrix) / 4});
}

}  // namespace gpu

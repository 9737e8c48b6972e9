// LayerNorm with the residual addition in front of it, and the rounding to codes behind it: one block a row.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"
#include "gemm/quantize_row.h"

namespace gpu {
namespace {

constexpr int block_threads = 256;
constexpr int warps = block_threads / warp_size;

/// Three passes over the row, the later two from L1: the sum, then the squared distances from the mean, then
/// the output. The variance is not taken as mean(x²) − mean², which cancels when the mean is large.
template <class T, int width>
GPU_KERNEL(block_threads, 4)
layer_norm_kernel(NormArguments p) {
  GPU_SHARED(shared);
  float* scratch = reinterpret_cast<float*>(shared);
  const int64_t start = int64_t(block_x()) * p.width;
  T* residual = static_cast<T*>(p.residual) + start;
  const T* input = p.input ? static_cast<const T*>(p.input) + start : nullptr;
  const T* weight = static_cast<const T*>(p.weight);
  const T* bias = static_cast<const T*>(p.bias);
  T* output = static_cast<T*>(p.output) + start;

  float sum = 0;
  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    auto x = Piece<T, width>::load(residual + i);
    if (input) {
      auto addend = Piece<T, width>::load(input + i);
      GPU_UNROLL
      for (int j = 0; j < width; ++j) x.value[j] += addend.value[j];
      x = x.rounded();
      x.store(residual + i);
    }
    GPU_UNROLL
    for (int j = 0; j < width; ++j) sum += x.value[j];
  }
  const float mean = block_sum(sum, scratch) / float(p.width);

  float squares = 0;
  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    auto x = Piece<T, width>::load(residual + i);
    GPU_UNROLL
    for (int j = 0; j < width; ++j) squares += (x.value[j] - mean) * (x.value[j] - mean);
  }
  // Scratch of its own: other warps may still be reading the first sum.
  const float variance = block_sum(squares, scratch + warps) / float(p.width);
  const float factor = reciprocal_sqrt(variance + p.epsilon);

  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    auto x = Piece<T, width>::load(residual + i);
    auto scale = Piece<T, width>::load(weight + i);
    GPU_UNROLL
    for (int j = 0; j < width; ++j) x.value[j] = (x.value[j] - mean) * factor * scale.value[j];
    if (bias) {
      auto shift = Piece<T, width>::load(bias + i);
      GPU_UNROLL
      for (int j = 0; j < width; ++j) x.value[j] += shift.value[j];
    }
    x.store(output + i);
  }
  if (!p.rounded.codes) return;
  sync_block();
  quantize_row<T, block_threads>(p.rounded, block_x(), output, p.width, reinterpret_cast<uint32_t*>(shared));
}

template <class T>
Status run(Stream stream, const NormArguments& a) {
  LaunchShape shape;
  shape.grid.x = a.rows;
  shape.threads = block_threads;
  shape.shared_bytes = 2 * warps * int(sizeof(float));
  if (allows_vectors(a.width, a.residual, a.input, a.weight, a.bias, a.output)) {
    return launch(stream, "layer_norm<8>", shape, layer_norm_kernel<T, 8>, a);
  }
  return launch(stream, "layer_norm<1>", shape, layer_norm_kernel<T, 1>, a);
}

}  // namespace

Status layer_norm(Stream stream, const NormArguments& arguments) {
  if (arguments.rows == 0) return 0;
  return arguments.type == ElementType::bfloat16 ? run<bf16>(stream, arguments) : run<f16>(stream, arguments);
}

}  // namespace gpu

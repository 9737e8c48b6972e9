// RMSNorm with the residual addition in front of it, and the rounding to codes behind it: one block a row.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"
#include "gemm/quantize_row.h"

namespace gpu {
namespace {

constexpr int block_threads = 256;
constexpr int warps = block_threads / warp_size;

/// Each thread touches the same pieces of the row in both passes, so the second pass finds them in L1 and
/// needs no barrier for what the first one wrote.
template <class T, int width>
GPU_KERNEL(block_threads, 4)
rms_norm_kernel(NormArguments p) {
  GPU_SHARED(shared);
  const int64_t start = int64_t(block_x()) * p.width;
  T* residual = static_cast<T*>(p.residual) + start;
  const T* input = p.input ? static_cast<const T*>(p.input) + start : nullptr;
  const T* weight = static_cast<const T*>(p.weight);
  T* output = static_cast<T*>(p.output) + start;

  float squares = 0;
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
    for (int j = 0; j < width; ++j) squares += x.value[j] * x.value[j];
  }
  const float mean = block_sum(squares, reinterpret_cast<float*>(shared)) / float(p.width);
  const float factor = reciprocal_sqrt(mean + p.epsilon);

  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    auto x = Piece<T, width>::load(residual + i);
    auto scale = Piece<T, width>::load(weight + i);
    GPU_UNROLL
    for (int j = 0; j < width; ++j) x.value[j] = x.value[j] * factor * scale.value[j];
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
  shape.shared_bytes = warps * int(sizeof(float));
  if (allows_vectors(a.width, a.residual, a.input, a.weight, a.output)) {
    return launch(stream, "rms_norm<8>", shape, rms_norm_kernel<T, 8>, a);
  }
  return launch(stream, "rms_norm<1>", shape, rms_norm_kernel<T, 1>, a);
}

}  // namespace

Status rms_norm(Stream stream, const NormArguments& arguments) {
  if (arguments.rows == 0) return 0;
  return arguments.type == ElementType::bfloat16 ? run<bf16>(stream, arguments) : run<f16>(stream, arguments);
}

}  // namespace gpu

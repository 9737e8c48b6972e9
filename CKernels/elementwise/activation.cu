// SiLU, GELU and ReLU, times the other half of a gated unit where there is one, and rounded to codes if
// asked.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"
#include "gemm/quantize_row.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;
constexpr int row_threads = 256;

template <ActivationKind kind>
GPU_DEVICE float apply(float x) {
  if constexpr (kind == ActivationKind::silu) {
    // e^-x overflows to infinity below -88, where the quotient is the right limit, 0.
    return x / (1.0f + exp_approximate(-x));
  } else if constexpr (kind == ActivationKind::gelu) {
    return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
  } else if constexpr (kind == ActivationKind::gelu_tanh) {
    // The exact tanh: the approximation's error would show in a bf16 output.
    return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
  } else {
    return x > 0.0f ? x : 0.0f;
  }
}

template <class T, int width, ActivationKind kind>
GPU_DEVICE void activate(const ActivationArguments& p, int64_t row, int column) {
  auto x = Piece<T, width>::load(static_cast<const T*>(p.gate) + row * p.input_stride + column);
  GPU_UNROLL
  for (int j = 0; j < width; ++j) x.value[j] = apply<kind>(x.value[j]);
  if (p.up) {
    auto up = Piece<T, width>::load(static_cast<const T*>(p.up) + row * p.input_stride + column);
    GPU_UNROLL
    for (int j = 0; j < width; ++j) x.value[j] *= up.value[j];
  }
  x.store(static_cast<T*>(p.output) + row * p.width + column);
}

/// Grid: rows along x, parts of a row along y.
template <class T, int width, ActivationKind kind>
GPU_KERNEL(block_threads, 8)
activation_kernel(ActivationArguments p) {
  const int column = (block_y() * block_threads + thread_index()) * width;
  if (column < p.width) activate<T, width, kind>(p, block_x(), column);
}

/// Rows that are rounded to codes as well: one block each.
template <class T, int width, ActivationKind kind>
GPU_KERNEL(row_threads, 4)
rounded_activation_kernel(ActivationArguments p) {
  GPU_SHARED(shared);
  const int64_t row = block_x();
  for (int column = thread_index() * width; column < p.width; column += row_threads * width) {
    activate<T, width, kind>(p, row, column);
  }
  sync_block();
  quantize_row<T, row_threads>(p.rounded, row, static_cast<const T*>(p.output) + row * p.width, p.width,
                               reinterpret_cast<uint32_t*>(shared));
}

template <class T, int width, ActivationKind kind>
Status run(Stream stream, const char* name, const char* rounded_name, const ActivationArguments& a) {
  LaunchShape shape;
  if (a.rounded.codes) {
    shape.grid.x = a.rows;
    shape.threads = row_threads;
    shape.shared_bytes = row_threads / warp_size * int(sizeof(uint32_t));
    return launch(stream, rounded_name, shape, rounded_activation_kernel<T, width, kind>, a);
  }
  constexpr int columns = block_threads * width;
  shape.grid = {a.rows, (a.width + columns - 1) / columns, 1};
  shape.threads = block_threads;
  return launch(stream, name, shape, activation_kernel<T, width, kind>, a);
}

template <class T, int width>
Status run(Stream stream, const ActivationArguments& a) {
  switch (a.kind) {
    case ActivationKind::silu:
      return run<T, width, ActivationKind::silu>(stream, "activation<silu>", "rounded_activation<silu>", a);
    case ActivationKind::gelu:
      return run<T, width, ActivationKind::gelu>(stream, "activation<gelu>", "rounded_activation<gelu>", a);
    case ActivationKind::gelu_tanh:
      return run<T, width, ActivationKind::gelu_tanh>(stream, "activation<gelu_tanh>",
                                                      "rounded_activation<gelu_tanh>", a);
    case ActivationKind::relu:
      break;
  }
  return run<T, width, ActivationKind::relu>(stream, "activation<relu>", "rounded_activation<relu>", a);
}

template <class T>
Status run(Stream stream, const ActivationArguments& a) {
  bool vectors = allows_vectors(a.width, a.gate, a.up, a.output) && a.input_stride % 8 == 0;
  return vectors ? run<T, 8>(stream, a) : run<T, 1>(stream, a);
}

}  // namespace

Status activation(Stream stream, const ActivationArguments& arguments) {
  if (arguments.rows == 0) return 0;
  return arguments.type == ElementType::bfloat16 ? run<bf16>(stream, arguments) : run<f16>(stream, arguments);
}

}  // namespace gpu

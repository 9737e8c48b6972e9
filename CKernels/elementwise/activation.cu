// SiLU, GELU and ReLU, times the other half of a gated unit where there is one.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

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

/// Grid: rows along x, parts of a row along y.
template <class T, int width, ActivationKind kind>
GPU_KERNEL(block_threads, 8)
activation_kernel(ActivationArguments p) {
  const int64_t row = block_x();
  const int column = (block_y() * block_threads + thread_index()) * width;
  if (column >= p.width) return;
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

template <class T, int width>
Status run(Stream stream, const ActivationArguments& a) {
  constexpr int columns = block_threads * width;
  LaunchShape shape;
  shape.grid = {a.rows, (a.width + columns - 1) / columns, 1};
  shape.threads = block_threads;
  switch (a.kind) {
    case ActivationKind::silu:
      return launch(stream, "activation<silu>", shape, activation_kernel<T, width, ActivationKind::silu>, a);
    case ActivationKind::gelu:
      return launch(stream, "activation<gelu>", shape, activation_kernel<T, width, ActivationKind::gelu>, a);
    case ActivationKind::gelu_tanh:
      return launch(stream, "activation<gelu_tanh>", shape,
                    activation_kernel<T, width, ActivationKind::gelu_tanh>, a);
    case ActivationKind::relu:
      break;
  }
  return launch(stream, "activation<relu>", shape, activation_kernel<T, width, ActivationKind::relu>, a);
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

// The last step of every matrix product: bias, accumulation, rounding, and the store.
#pragma once

#include "device/device.h"
#include "gemm/arguments.h"

namespace gpu {

/// Where sums go.
struct OutputShape {
  void* data;
  int64_t stride;
  const float* bias;
  int columns;
  bool accumulate;
  bool is_float;
  /// Two neighbouring columns may be stored at once.
  bool pairs;

  static OutputShape of(const GemmArguments& a) {
    const int64_t pair_bytes = a.float_output ? 8 : 4;
    const bool pairs = reinterpret_cast<uintptr_t>(a.output) % pair_bytes == 0 && a.output_stride % 2 == 0;
    return {a.output, a.output_stride, a.bias, a.n, a.accumulate, a.float_output, pairs};
  }
};

/// Two floats, stored by one instruction.
struct alignas(8) FloatPair {
  float low, high;
};

template <class Output>
GPU_DEVICE float completed(const OutputShape& o, const Output* target, int column, float value) {
  if (o.bias) value += o.bias[column];
  if (o.accumulate) value += to_float(*target);
  return value;
}

template <class Output>
GPU_DEVICE void write_pair_as(const OutputShape& o, int row, int column, float low, float high) {
  Output* target = static_cast<Output*>(o.data) + row * o.stride + column;
  if (column >= o.columns) return;
  low = completed(o, target, column, low);
  if (column + 1 >= o.columns) {
    *target = from_float<Output>(low);
    return;
  }
  high = completed(o, target + 1, column + 1, high);
  if (!o.pairs) {
    target[0] = from_float<Output>(low);
    target[1] = from_float<Output>(high);
  } else if constexpr (std::is_same_v<Output, float>) {
    *reinterpret_cast<FloatPair*>(target) = {low, high};
  } else {
    *reinterpret_cast<uint32_t*>(target) = pack<Output>(low, high);
  }
}

/// Writes the sums of an even column and the one after it; columns past the end are dropped.
template <class T>
GPU_DEVICE void write_pair(const OutputShape& o, int row, int column, float low, float high) {
  if (o.is_float) {
    write_pair_as<float>(o, row, column, low, high);
  } else {
    write_pair_as<T>(o, row, column, low, high);
  }
}

}  // namespace gpu

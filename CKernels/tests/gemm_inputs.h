// Inputs of a matrix product, and the comparison with double precision.
#pragma once

#include "gemm/arguments.h"
#include "tests/support.h"

namespace gpu::test {

struct GemmCase {
  int m, n, k;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  /// Elements between the end of a row and the next, and before the first.
  int padding = 0;
  int offset = 0;
};

inline std::string named(const GemmCase& c) {
  return "gemm " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         (c.bias ? " bias" : "") + (c.accumulate ? " accumulate" : "") + (c.float_output ? " float" : "") +
         (c.padding ? " padded" : "") + (c.offset ? " unaligned" : "");
}

/// A matrix whose rows lie apart: what lies between them is NaN, and must stay so.
template <class T>
struct Strided {
  Strided(const char* name, int rows, int columns, const GemmCase& c, const std::vector<T>& values)
      : columns(columns),
        stride(columns + c.padding),
        offset(c.offset),
        memory(name, size_t(c.offset) + size_t(rows) * size_t(stride)),
        values(values) {
    fill();
  }
  void fill() {
    std::memset(static_cast<void*>(memory.data()), 0xff, memory.size() * sizeof(T));
    for (size_t i = 0; i < values.size(); ++i) at(int(i) / columns, int(i) % columns) = values[i];
  }
  T& at(int row, int column) {
    return memory[size_t(offset) + size_t(row) * size_t(stride) + size_t(column)];
  }
  T* data() { return memory.data() + offset; }

  int columns;
  int stride;
  int offset;
  DeviceArray<T> memory;
  std::vector<T> values;
};

template <class T, class Output>
struct GemmInputs {
  explicit GemmInputs(const GemmCase& c)
      : shape(c),
        input("input", c.m, c.k, c, random_values<T>(size_t(c.m) * size_t(c.k), 21, 2.0f)),
        weight("weight", c.n, c.k, c, random_values<T>(size_t(c.n) * size_t(c.k), 22)),
        output("output", c.m, c.n, c, random_values<Output>(size_t(c.m) * size_t(c.n), 23, 3.0f)),
        bias("bias", random_values<float>(size_t(c.n), 24)),
        partials("partials", size_t(gemm_workspace_most(c.n, c.k) / 256 * c.m)) {}

  GemmArguments arguments() {
    return {element_type<T>,   shape.m,       shape.n,
            shape.k,           input.data(),  input.stride,
            weight.data(),     weight.stride, shape.bias ? bias.data() : nullptr,
            output.data(),     output.stride, shape.accumulate,
            shape.float_output};
  }
  GemmWorkspace workspace() { return {partials.data(), int64_t(partials.size())}; }

  GemmCase shape;
  Strided<T> input, weight;
  Strided<Output> output;
  DeviceArray<float> bias, partials;
};

/// Compares the output with the product, and expects what lies between its rows untouched.
template <class T, class Output>
void expect_product(GemmInputs<T, Output>& inputs) {
  const GemmCase& c = inputs.shape;
  // Rounding to the output's type, and k roundings of a sum.
  const double output_error = std::is_same_v<Output, float> ? 0x1p-24 : rounding<T>;
  const double sum_error = (c.k + 4) * 0x1p-24;
  for (int row = 0; row < c.m; ++row) {
    for (int column = 0; column < c.n; ++column) {
      double sum = 0, magnitude = 0;
      auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int k = 0; k < c.k; ++k)
        add(double(to_float(inputs.input.at(row, k))) * to_float(inputs.weight.at(column, k)));
      if (c.bias) add(inputs.bias[size_t(column)]);
      if (c.accumulate) add(to_float(inputs.output.values[size_t(row) * size_t(c.n) + size_t(column)]));
      double value = to_float(inputs.output.at(row, column));
      double bound = output_error * std::abs(sum) + sum_error * magnitude + smallest_step<T>;
      if (std::abs(value - sum) <= bound) continue;
      char text[160];
      std::snprintf(text, sizeof text, "%s: (%d, %d) is %.9g, expected %.9g within %.3g", named(c).c_str(),
                    row, column, value, sum, bound);
      return fail(__FILE__, __LINE__, text);
    }
  }
  // What lies between the rows is as it was.
  for (size_t i = 0; i < inputs.output.memory.size(); ++i) {
    int column = i < size_t(c.offset) ? c.n : int(i - size_t(c.offset)) % inputs.output.stride;
    if (column >= c.n) EXPECT(std::isnan(to_float(inputs.output.memory[i])));
  }
}

}  // namespace gpu::test

// Inputs of products with activations and weights of 8 bits.
#pragma once

#include <cmath>
#include <memory>

#include "gemm/w8a8.h"
#include "tests/support.h"

namespace gpu::test {

/// What a code stands for: E4M3 as its paper has it, from sign, exponent (bias 7) and three bits of fraction.
inline double value_of(RowCode code, uint8_t bits) {
  if (code == RowCode::int8) return int8_t(bits);
  const int exponent = bits >> 3 & 15;
  const double size = exponent == 0 ? std::ldexp(bits & 7, -9) : std::ldexp(8 + (bits & 7), exponent - 10);
  return bits >> 7 ? -size : size;
}

/// The nearest code of a number within the range of codes, ties to the even one.
inline uint8_t nearest(RowCode code, double value) {
  if (code == RowCode::int8) return uint8_t(int(std::nearbyint(value)));
  const double size = std::abs(value);
  int best = 0;
  for (int bits = 1; bits < 0x7f; ++bits) {
    const double nearer = std::abs(value_of(code, uint8_t(best)) - size);
    const double distance = std::abs(value_of(code, uint8_t(bits)) - size);
    if (distance < nearer || (distance == nearer && bits % 2 == 0)) best = bits;
  }
  return uint8_t(best | (std::signbit(value) ? 128 : 0));
}

struct W8A8Case {
  int m, n, k;
  int group;
  float threshold = INFINITY;
  float fixed_scale = 0;
  ScaleType scale_type = ScaleType::float32;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  int padding = 0;
  RowCode code = RowCode::int8;

  W8A8Case in_float8() const {
    W8A8Case copy = *this;
    copy.code = RowCode::float8;
    return copy;
  }
};

inline std::string named(const W8A8Case& c) {
  return "w8a8 " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) + " group " +
         std::to_string(c.group) + (c.code == RowCode::float8 ? " E4M3" : "") +
         (c.threshold < INFINITY ? " threshold" : "") + (c.fixed_scale > 0 ? " fixed" : "");
}

template <class T, class Output>
struct W8A8Inputs {
  explicit W8A8Inputs(const W8A8Case& c)
      : shape(c),
        groups((c.k + c.group - 1) / c.group),
        stride(c.k + c.padding),
        input("input", random_values<T>(size_t(c.m * stride), 61, 2.0f)),
        output("output", size_t(c.m * c.n)),
        initial(random_values<Output>(size_t(c.m * c.n), 62)),
        bias("bias", random_values<float>(size_t(c.n), 63)),
        codes("codes", size_t(c.m) * size_t(code_row_bytes(c.k))),
        weight("weight", size_t(c.n) * size_t(code_row_bytes(c.k))),
        row_scales("row scales", size_t(c.m)),
        outliers("outliers", size_t(c.m) * size_t(outlier_words(c.k))) {
    simt::Random random(64);
    // A few columns of large components, as language models have, here and there a single one; a row of
    // zeros.
    for (int row = 0; row < c.m; ++row) {
      for (int k = 0; k < c.k; ++k) {
        T& x = input[size_t(row * stride + k)];
        if (k % 37 == 5 || random.below(400) == 0) x = from_float<T>(8 * to_float(x));
        if (row == 1) x = from_float<T>(0.0f);
      }
    }
    // The weight is the same whatever the input was.
    random = simt::Random(65);
    const int code_stride = (c.k + 3) / 4 * 4;
    std::vector<uint8_t> unsigned_codes(size_t(c.n * code_stride));
    for (uint8_t& code : unsigned_codes) {
      do code = uint8_t(random.below(256));
      while (c.code == RowCode::float8 && (code & 127) == 127);
    }
    for (int n = 0; n < c.n; ++n) {
      for (int k = 0; k < c.k; ++k) {
        const uint8_t code = unsigned_codes[size_t(n * code_stride + k)];
        weights.push_back(c.code == RowCode::int8 ? double(code) - 128 : value_of(c.code, code));
      }
    }
    DeviceArray<uint8_t> source("codes as stored", unsigned_codes);
    const CodeRowsArguments rows = {c.code, c.n, c.k, source.data(), code_stride, weight.data()};
    expect_same_bits(
        "code rows", [&](Stream stream) { return repack_code_rows(stream, rows); },
        [&] { return weight.bytes(); });
    for (int i = 0; i < c.n * groups; ++i) {
      const float wanted = 0.001f + float(random.below(1000)) * 1e-5f;
      auto add = [&](auto scale) {
        scale_values.push_back(to_float(scale));
        auto* start = reinterpret_cast<const unsigned char*>(&scale);
        scale_bytes.insert(scale_bytes.end(), start, start + sizeof scale);
      };
      if (c.scale_type == ScaleType::float32) add(wanted);
      if (c.scale_type == ScaleType::float16) add(from_float<f16>(wanted));
      if (c.scale_type == ScaleType::bfloat16) add(from_float<bf16>(wanted));
    }
    scales = std::make_unique<DeviceArray<unsigned char>>("scales", scale_bytes);
  }

  QuantizeRowsArguments quantize() {
    return {
        element_type<T>,
        shape.m,
        shape.k,
        input.data(),
        stride,
        {shape.code, shape.threshold, shape.fixed_scale, codes.data(), row_scales.data(), outliers.data()}};
  }
  W8A8Arguments arguments() {
    return {element_type<T>, shape.code,       shape.m,          shape.n,
            shape.k,         shape.group,      codes.data(),     row_scales.data(),
            outliers.data(), input.data(),     stride,           shape.threshold,
            weight.data(),   shape.scale_type, scales->data(),   shape.bias ? bias.data() : nullptr,
            output.data(),   shape.n,          shape.accumulate, shape.float_output};
  }
  Status run(Stream stream, W8A8Form form) {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
    const Status status = quantize_rows(stream, quantize());
    return status != 0 ? status : gemm_w8a8_as(stream, form, arguments());
  }

  W8A8Case shape;
  int groups, stride;
  DeviceArray<T> input;
  DeviceArray<Output> output;
  std::vector<Output> initial;
  DeviceArray<float> bias;
  DeviceArray<uint8_t> codes, weight;
  DeviceArray<float> row_scales;
  DeviceArray<uint32_t> outliers;
  std::vector<double> weights;
  std::vector<float> scale_values;
  std::vector<unsigned char> scale_bytes;
  std::unique_ptr<DeviceArray<unsigned char>> scales;
};

}  // namespace gpu::test

// Inputs of a product with weights of few bits, and the comparison with double precision.
#pragma once

#include <cmath>

#include "gemm/wna16_kernel.h"
#include "tests/support.h"

namespace gpu::test {

struct WNA16Case {
  int m, n, k;
  int group;
  bool zeros = false;
  ScaleType scale_type = ScaleType::float16;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  int padding = 0;
  WeightCode code = WeightCode::int4;
};

constexpr WeightCode all_codes[] = {WeightCode::int4, WeightCode::int2, WeightCode::int3, WeightCode::int8,
                                    WeightCode::float8};

/// The number of an E4M3 code, by the definition.
inline double float8_number(uint32_t code) {
  const uint32_t exponent = code >> 3 & 15, mantissa = code & 7;
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, int(exponent) - 7);
  return code & 128 ? -size : size;
}

inline std::string named(const WNA16Case& c) {
  return "wna16 " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) + " group " +
         std::to_string(c.group) + " code " + std::to_string(int(c.code)) + (c.zeros ? " zeros" : "") +
         (c.float_output ? " float" : "");
}

/// Bytes of scales, and their values.
struct Scales {
  Scales(size_t count, ScaleType type, bool powers) {
    simt::Random random(51);
    for (size_t i = 0; i < count; ++i) {
      const float wanted =
          powers ? std::exp2(float(random.below(4)) - 2) : 0.01f + float(random.below(1000)) * 1e-4f;
      auto add = [&](auto scale) {
        values.push_back(to_float(scale));
        auto* start = reinterpret_cast<const unsigned char*>(&scale);
        bytes.insert(bytes.end(), start, start + sizeof scale);
      };
      if (type == ScaleType::float32) add(wanted);
      if (type == ScaleType::float16) add(from_float<f16>(wanted));
      if (type == ScaleType::bfloat16) add(from_float<bf16>(wanted));
    }
  }
  std::vector<float> values;
  std::vector<unsigned char> bytes;
};

template <class T, class Output>
struct WNA16Inputs {
  explicit WNA16Inputs(const WNA16Case& c, bool exact = false)
      : shape(c),
        groups(c.k > 0 ? (c.k + c.group - 1) / c.group : 0),
        scales(size_t(c.n * groups), c.scale_type, exact),
        stride(c.k + c.padding),
        input("input", size_t(c.m * stride)),
        initial(random_values<Output>(size_t(c.m * c.n), 53)),
        output("output", size_t(c.m * c.n)),
        bias("bias", random_values<float>(size_t(c.n), 54)),
        packed_codes("packed codes", size_t(packed_code_bytes(c.code, c.n, c.k))),
        packed_scales("packed scales", size_t(packed_scale_count(c.n, c.k, c.group)) * scale_bytes(c)),
        packed_zeros("packed zeros", size_t(packed_scale_count(c.n, c.k, c.group))),
        partials("partials", size_t(wna16_workspace_most(c.n, c.k) / 256 * c.m)) {
    simt::Random random(52);
    for (int row = 0; row < c.m; ++row) {
      for (int k = 0; k < c.k; ++k) {
        const float value = exact ? float(random.below(9)) - 4 : float(random.below(1 << 12)) / (1 << 11) - 1;
        input[size_t(row * stride + k)] = from_float<T>(value);
      }
    }
    const int bits = code_bits(c.code), words = (c.k * bits + 31) / 32;
    const uint32_t middle = 1u << (bits - 1);
    codes.resize(size_t(c.n * words));
    for (int i = 0; i < c.n * groups; ++i) {
      zeros.push_back(uint8_t(c.zeros ? random.below(1u << bits) : middle));
    }
    for (int n = 0; n < c.n; ++n) {
      for (int k = 0; k < c.k; ++k) {
        uint32_t code = random.below(1u << bits);
        // Every number but NaN; in exact cases those from 1 to 15.
        if (c.code == WeightCode::float8) {
          code = exact ? (code & 128u) | (0x38u + code % 32) : (code & 127u) == 127u ? 0u : code;
        }
        for (int bit = 0; bit < bits; ++bit) {
          const int place = k * bits + bit;
          codes[size_t(n * words + place / 32)] |= (code >> bit & 1u) << (place % 32);
        }
        const size_t at = size_t(n * groups + k / c.group);
        const double units =
            c.code == WeightCode::float8 ? float8_number(code) : double(int(code) - int(zeros[at]));
        weight.push_back(double(scales.values[at]) * units);
      }
    }
    DeviceArray<uint32_t> device_codes("codes", codes);
    DeviceArray<unsigned char> device_scales("scales", scales.bytes);
    DeviceArray<uint8_t> device_zeros("zeros", zeros);
    const RepackArguments arguments = {c.code,
                                       c.n,
                                       c.k,
                                       c.group,
                                       device_codes.data(),
                                       int64_t(words) * 4,
                                       c.scale_type,
                                       device_scales.data(),
                                       c.zeros ? device_zeros.data() : nullptr,
                                       packed_codes.data(),
                                       packed_scales.data(),
                                       c.zeros ? packed_zeros.data() : nullptr};
    expect_same_bits(
        "repack", [&](Stream stream) { return repack(stream, arguments); },
        [&] { return packed_codes.bytes(); });
  }
  static size_t scale_bytes(const WNA16Case& c) { return c.scale_type == ScaleType::float32 ? 4 : 2; }

  WNA16Arguments arguments() {
    return {element_type<T>,
            shape.m,
            {shape.code, shape.n, shape.k, shape.group, packed_codes.data(), shape.scale_type,
             packed_scales.data(), shape.zeros ? packed_zeros.data() : nullptr},
            input.data(),
            stride,
            shape.bias ? bias.data() : nullptr,
            output.data(),
            shape.n,
            shape.accumulate,
            shape.float_output};
  }
  void restore_output() {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
  }
  Status run(Stream stream, WNA16Form form) {
    restore_output();
    return gemm_wna16_as(stream, form, arguments(), {partials.data(), int64_t(partials.size())});
  }

  WNA16Case shape;
  int groups;
  Scales scales;
  int stride;
  std::vector<uint32_t> codes;
  std::vector<uint8_t> zeros;
  /// [n, k]
  std::vector<double> weight;
  DeviceArray<T> input;
  std::vector<Output> initial;
  DeviceArray<Output> output;
  DeviceArray<float> bias;
  DeviceArray<unsigned char> packed_codes, packed_scales;
  DeviceArray<uint8_t> packed_zeros;
  DeviceArray<float> partials;
};

/// Compares the output with the product of exactly dequantised weights; `exact`: to the bit.
template <class T, class Output>
void expect_product(WNA16Inputs<T, Output>& inputs, bool exact = false) {
  const WNA16Case& c = inputs.shape;
  const double output_error = std::is_same_v<Output, float> ? 0x1p-24 : rounding<T>;
  for (int row = 0; row < c.m; ++row) {
    for (int n = 0; n < c.n; ++n) {
      double sum = 0, magnitude = 0;
      auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int k = 0; k < c.k; ++k) {
        add(double(to_float(inputs.input[size_t(row * inputs.stride + k)])) *
            inputs.weight[size_t(n * c.k + k)]);
      }
      if (c.bias) add(inputs.bias[size_t(n)]);
      const size_t at = size_t(row * c.n + n);
      if (c.accumulate) add(to_float(inputs.initial[at]));
      const double value = to_float(inputs.output[at]);
      const double bound =
          exact ? 0 : output_error * std::abs(sum) + (c.k + 4) * 0x1p-24 * magnitude + smallest_step<T>;
      if (std::abs(value - sum) <= bound) continue;
      char text[200];
      std::snprintf(text, sizeof text, "%s: (%d, %d) is %.9g, expected %.9g within %.3g", named(c).c_str(),
                    row, n, value, sum, bound);
      return fail(__FILE__, __LINE__, text);
    }
  }
}

}  // namespace gpu::test

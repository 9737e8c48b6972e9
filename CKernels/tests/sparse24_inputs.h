// Inputs of a product with 2:4 sparse weights, and the comparison with double precision.
#pragma once

#include "sparse/sparse24_kernel.h"
#include "tests/wna16_inputs.h"

namespace gpu::test {

struct Sparse24Case {
  int m, n, k;
  /// 0 for 16-bit values.
  int group = 0;
  bool zeros = false;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  int padding = 0;
  ScaleType scale_type = ScaleType::float16;
  WeightCode code = WeightCode::int4;
};

inline std::string named(const Sparse24Case& c) {
  return "sparse24 " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         " group " + std::to_string(c.group) + (c.code == WeightCode::int8 ? " int8" : "") +
         (c.float_output ? " float" : "");
}

template <class T, class Output>
struct Sparse24Inputs {
  explicit Sparse24Inputs(const Sparse24Case& c, bool exact = false)
      : shape(c),
        groups(c.group > 0 && c.k > 0 ? (c.k + c.group - 1) / c.group : 0),
        scales(size_t(c.n * groups), c.scale_type, exact),
        stride(c.k + c.padding),
        input("input", size_t(c.m * stride)),
        initial(random_values<Output>(size_t(c.m * c.n), 63)),
        output("output", size_t(c.m * c.n)),
        bias("bias", random_values<float>(size_t(c.n), 64)),
        packed("packed",
               size_t(c.group ? packed_code_bytes(c.code, c.n, c.k / 2) : sparse24_value_bytes(c.n, c.k))),
        packed_scales("scales", size_t(packed_scale_count(c.n, c.k / 2, c.group / 2)) *
                                    (c.scale_type == ScaleType::float32 ? 4 : 2)),
        packed_zeros("zeros", size_t(packed_scale_count(c.n, c.k / 2, c.group / 2))),
        metadata("metadata", size_t(sparse24_metadata_bytes(c.n, c.k) / 4)),
        partials("partials", size_t(sparse24_workspace_most(c.n, c.k) / 256 * c.m)) {
    simt::Random random(61);
    for (int row = 0; row < c.m; ++row) {
      for (int k = 0; k < c.k; ++k) {
        const float value = exact ? float(random.below(9)) - 4 : float(random.below(1 << 12)) / (1 << 11) - 1;
        input[size_t(row * stride + k)] = from_float<T>(value);
      }
    }
    const int mask_bytes = (c.k + 7) / 8, bits = code_bits(c.code);
    const int words = (c.k / 2 * bits + 31) / 32;
    std::vector<uint8_t> mask(size_t(c.n * mask_bytes));
    std::vector<T> values;
    std::vector<uint32_t> codes(size_t(c.n * words));
    std::vector<uint8_t> zeros;
    for (int i = 0; i < c.n * groups; ++i) {
      zeros.push_back(c.zeros ? uint8_t(random.below(1u << bits)) : uint8_t(1 << (bits - 1)));
    }
    weight.resize(size_t(c.n * c.k));
    for (int n = 0; n < c.n; ++n) {
      int stored = 0;
      for (int quad = 0; quad < c.k / 4; ++quad) {
        // Every one of the six pairs.
        static constexpr int pairs[6][2] = {{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}};
        const auto& pair = pairs[random.below(6)];
        for (int place : pair) {
          const int k = 4 * quad + place;
          mask[size_t(n * mask_bytes + k / 8)] |= uint8_t(1 << (k % 8));
          double kept;
          if (c.group) {
            const uint32_t code = random.below(1u << bits);
            codes[size_t(n * words + stored * bits / 32)] |= code << (stored * bits % 32);
            const size_t at = size_t(n * groups + k / c.group);
            kept = double(scales.values[at]) * (int(code) - int(zeros[at]));
          } else {
            values.push_back(from_float<T>(exact ? float(random.below(9)) - 4
                                                 : float(random.below(1 << 12)) / (1 << 11) - 1));
            kept = to_float(values.back());
          }
          weight[size_t(n * c.k + k)] = kept;
          ++stored;
        }
      }
    }
    DeviceArray<uint8_t> device_mask("mask", mask);
    DeviceArray<T> device_values("values", values);
    DeviceArray<uint32_t> device_codes("codes", codes);
    DeviceArray<unsigned char> device_scales("scales", scales.bytes);
    DeviceArray<uint8_t> device_zeros("zeros", zeros);
    const Sparse24ReorderArguments reorder = {c.n,
                                              c.k,
                                              device_mask.data(),
                                              c.group ? nullptr : device_values.data(),
                                              c.group ? nullptr : packed.data(),
                                              metadata.data()};
    expect_same_bits(
        "reorder", [&](Stream stream) { return reorder_sparse24(stream, reorder); },
        [&] { return metadata.bytes(); });
    if (!c.group) return;
    const RepackArguments stored = {c.code,
                                    c.n,
                                    c.k / 2,
                                    c.group / 2,
                                    device_codes.data(),
                                    int64_t(words) * 4,
                                    c.scale_type,
                                    device_scales.data(),
                                    c.zeros ? device_zeros.data() : nullptr,
                                    packed.data(),
                                    packed_scales.data(),
                                    c.zeros ? packed_zeros.data() : nullptr};
    expect_same_bits(
        "repack", [&](Stream stream) { return repack(stream, stored); }, [&] { return packed.bytes(); });
  }

  Sparse24Weight sparse() {
    return {shape.n,
            shape.k,
            shape.group ? nullptr : packed.data(),
            metadata.data(),
            {shape.code, shape.n, shape.k / 2, shape.group / 2, packed.data(), shape.scale_type,
             packed_scales.data(), shape.zeros ? packed_zeros.data() : nullptr}};
  }
  Sparse24Arguments arguments() {
    return {element_type<T>,   shape.m, sparse(),
            input.data(),      stride,  shape.bias ? bias.data() : nullptr,
            output.data(),     shape.n, shape.accumulate,
            shape.float_output};
  }
  void restore_output() {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
  }
  Status run(Stream stream, Sparse24Form form) {
    restore_output();
    return gemm_sparse24_as(stream, form, arguments(), {partials.data(), int64_t(partials.size())});
  }

  Sparse24Case shape;
  int groups;
  Scales scales;
  int stride;
  /// [n, k]
  std::vector<double> weight;
  DeviceArray<T> input;
  std::vector<Output> initial;
  DeviceArray<Output> output;
  DeviceArray<float> bias;
  DeviceArray<unsigned char> packed, packed_scales;
  DeviceArray<uint8_t> packed_zeros;
  DeviceArray<uint32_t> metadata;
  DeviceArray<float> partials;
};

/// Compares the output with the product of the exact weights; `exact`: to the bit.
template <class T, class Output>
void expect_sparse_product(Sparse24Inputs<T, Output>& inputs, bool exact = false) {
  const Sparse24Case& c = inputs.shape;
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

// The product with weights of few bits against double precision on exactly dequantised weights, in every
// form.

#include <cmath>

#include "gemm/wna16_kernel.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

constexpr WNA16Form all_forms[] = {WNA16Form::tokens8, WNA16Form::tokens16, WNA16Form::tokens32,
                                   WNA16Form::tokens64, WNA16Form::tile};

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
double float8_number(uint32_t code) {
  const uint32_t exponent = code >> 3 & 15, mantissa = code & 7;
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, int(exponent) - 7);
  return code & 128 ? -size : size;
}

std::string named(const WNA16Case& c) {
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
  Status run(Stream stream, WNA16Form form) {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
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

/// Every form gives the same bits, and those are near the exact product, or equal to it.
template <class T, class Output>
void test_wna16(const WNA16Case& c, bool exact = false) {
  WNA16Inputs<T, Output> inputs(c, exact);
  std::vector<unsigned char> first;
  for (WNA16Form form : all_forms) {
    auto statistics = expect_same_bits(
        named(c) + " form " + std::to_string(int(form)),
        [&](Stream stream) { return inputs.run(stream, form); }, [&] { return inputs.output.bytes(); });
    EXPECT(statistics.bank_conflicts == 0);
    if (first.empty()) first = inputs.output.bytes();
    if (inputs.output.bytes() != first) {
      fail(__FILE__, __LINE__, named(c) + ": other bits in form " + std::to_string(int(form)));
    }
  }
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

TEST("wna16: tokens, features and depth with tails") {
  test_wna16<bf16, bf16>({1, 16, 128, 128});
  test_wna16<f16, f16>({9, 66, 256, 128});
  test_wna16<bf16, bf16>({17, 33, 72, 64});
  test_wna16<f16, f16>({40, 24, 40, 16});
  test_wna16<bf16, bf16>({66, 130, 96, 32});
}

TEST("wna16: groups of 32, 64, 128 and one a feature, with zeros and without") {
  for (int group : {32, 64, 128, 384}) {
    for (bool zeros : {false, true}) {
      test_wna16<bf16, bf16>({3, 24, 384, group, zeros, ScaleType::bfloat16});
      test_wna16<f16, f16>({3, 24, 384, group, zeros, ScaleType::float32});
    }
  }
  test_wna16<f16, f16>({3, 24, 100, 100, true});
}

TEST("wna16: k in parts, groups across them, and all that an output may want") {
  test_wna16<bf16, float>({2, 20, 128 * 4, 128, true, ScaleType::float16, true, true, true});
  test_wna16<f16, float>({5, 31, 128 * 5 + 8, 128 * 5 + 8, true, ScaleType::float16, false, true, true});
  test_wna16<bf16, bf16>({3, 18, 128 * 6, 48, true, ScaleType::bfloat16, true, false});
}

TEST("wna16: inputs that allow no vectors") {
  test_wna16<bf16, bf16>({5, 24, 128, 64, true, ScaleType::float16, true, true, false, 3});
  test_wna16<f16, f16>({5, 24, 45, 16, false, ScaleType::float16, false, false, false, 0});
}

/// All codes but int4, which the other tests have.
template <class Body>
void for_other_codes(WNA16Case c, Body body) {
  for (WeightCode code : all_codes) {
    if (code == WeightCode::int4 || (code == WeightCode::float8 && c.zeros)) continue;
    c.code = code;
    body(c);
  }
}

TEST("wna16: codes of 2, 3 and 8 bits and E4M3, with tails in every dimension") {
  for_other_codes({9, 66, 256, 128}, [](const WNA16Case& c) { test_wna16<f16, f16>(c); });
  for_other_codes({17, 33, 72, 24 * 3}, [](const WNA16Case& c) { test_wna16<bf16, bf16>(c); });
  for_other_codes({40, 24, 45, 16}, [](const WNA16Case& c) { test_wna16<bf16, bf16>(c); });
}

TEST("wna16: other codes with zeros, in parts, and all that an output may want") {
  for_other_codes({3, 24, 384, 64, true, ScaleType::bfloat16},
                  [](const WNA16Case& c) { test_wna16<bf16, bf16>(c); });
  for_other_codes({5, 31, 128 * 5 + 8, 128 * 5 + 8, true, ScaleType::float32, true, true, true},
                  [](const WNA16Case& c) { test_wna16<f16, float>(c); });
  for_other_codes({66, 130, 96, 32, false, ScaleType::float16, false, true, false, 3},
                  [](const WNA16Case& c) { test_wna16<bf16, bf16>(c); });
}

/// Dequantised weights to the bit, and the product with them within their rounding.
template <class T>
void test_dequantized(const WNA16Case& c) {
  WNA16Inputs<T, float> inputs(c);
  const int64_t stride = dequantized_stride(c.k);
  DeviceArray<unsigned char> workspace("workspace", size_t(dequantized_workspace_bytes(c.n, c.k)));
  const WNA16Arguments arguments = inputs.arguments();
  expect_same_bits(
      named(c) + " dequantised",
      [&](Stream stream) {
        return gemm_dequantized(stream, arguments, false, workspace.data(), int64_t(workspace.size()));
      },
      [&] { return inputs.output.bytes(); });
  const T* matrix = reinterpret_cast<const T*>(workspace.data());
  for (int n = 0; n < c.n; ++n) {
    for (int k = 0; k < c.k; ++k) {
      const T wanted = from_float<T>(float(inputs.weight[size_t(n * c.k + k)]));
      if (matrix[n * stride + k].bits != wanted.bits) {
        return fail(__FILE__, __LINE__,
                    named(c) + ": weight " + std::to_string(n) + ", " + std::to_string(k));
      }
    }
  }
  for (int row = 0; row < c.m; ++row) {
    for (int n = 0; n < c.n; ++n) {
      double sum = 0, magnitude = 0;
      for (int k = 0; k < c.k; ++k) {
        const double term = double(to_float(inputs.input[size_t(row * inputs.stride + k)])) *
                            to_float(matrix[n * stride + k]);
        sum += term;
        magnitude += std::abs(term);
      }
      const double bound = 0x1p-24 * std::abs(sum) + (c.k + 4) * 0x1p-24 * magnitude + 1e-30;
      EXPECT(std::abs(inputs.output[size_t(row * c.n + n)] - sum) <= bound);
    }
  }
}

TEST("wna16: dequantised for the dense product") {
  for (WeightCode code : all_codes) {
    WNA16Case c = {5, 40, 200, 200, code != WeightCode::float8, ScaleType::float16, false, false, true};
    c.code = code;
    test_dequantized<bf16>(c);
    c = {3, 17, 141, 16, false, ScaleType::bfloat16, false, false, true, 3, code};
    test_dequantized<f16>(c);
  }
}

TEST("wna16: small integers and powers of two are exact") {
  for (bool zeros : {false, true}) {
    for_other_codes({7, 40, 128 * 3, 64, zeros, ScaleType::float16, false, false, true},
                    [](const WNA16Case& c) {
                      test_wna16<f16, float>(c, true);
                      test_wna16<bf16, float>(c, true);
                    });
  }
  test_wna16<f16, float>({7, 40, 128 * 4, 64, true, ScaleType::float16, false, false, true}, true);
  test_wna16<bf16, float>({7, 40, 128 * 4, 64, true, ScaleType::float16, false, false, true}, true);
}

TEST("wna16: nothing to do, and nothing to sum") {
  test_wna16<bf16, bf16>({0, 16, 128, 128});
  test_wna16<bf16, bf16>({4, 0, 128, 128});
  test_wna16<f16, float>({4, 16, 0, 32, false, ScaleType::float16, true, true, true});
}

TEST("wna16: a row's bits do not depend on the other rows") {
  WNA16Inputs<bf16, bf16> many({40, 40, 128 * 4, 128, true}), one({1, 40, 128 * 4, 128, true});
  simt::Stream stream;
  EXPECT(many.run(&stream, WNA16Form::tokens64) == 0);
  for (int row : {0, 39}) {
    for (int k = 0; k < 128 * 4; ++k) one.input[size_t(k)] = many.input[size_t(row * 128 * 4 + k)];
    one.packed_codes.bytes();
    EXPECT(gemm_wna16(&stream, one.arguments(), {one.partials.data(), int64_t(one.partials.size())}) == 0);
    WNA16Arguments alone = many.arguments();
    DeviceArray<bf16> output("alone", 40);
    alone.m = 1;
    alone.input = one.input.data();
    alone.output = output.data();
    EXPECT(gemm_wna16(&stream, alone, {one.partials.data(), int64_t(one.partials.size())}) == 0);
    for (int n = 0; n < 40; ++n) EXPECT(output[size_t(n)].bits == many.output[size_t(row * 40 + n)].bits);
  }
}

TEST("wna16: what cannot be computed is refused") {
  WNA16Inputs<bf16, bf16> inputs({5, 16, 128 * 4, 128});
  const WNA16Arguments good = inputs.arguments();
  const int64_t floats = wna16_workspace_floats(5, 16, 128 * 4);
  EXPECT(floats == 2 * 5 * 16);
  GemmWorkspace workspace = {inputs.partials.data(), floats};
  EXPECT(gemm_wna16(nullptr, good, workspace) == 0);
  EXPECT(gemm_wna16(nullptr, good, {inputs.partials.data(), floats - 1}) == invalid_arguments);
  auto refuses = [&](auto change) {
    WNA16Arguments bad = good;
    change(bad);
    EXPECT(gemm_wna16(nullptr, bad, workspace) == invalid_arguments);
  };
  refuses([](WNA16Arguments& a) { a.m = -1; });
  refuses([](WNA16Arguments& a) { a.weight.n = -1; });
  refuses([](WNA16Arguments& a) { a.weight.k = -1; });
  refuses([](WNA16Arguments& a) { a.input_stride = a.weight.k - 1; });
  refuses([](WNA16Arguments& a) { a.output_stride = a.weight.n - 1; });
  refuses([](WNA16Arguments& a) { a.weight.group = 0; });
  refuses([](WNA16Arguments& a) { a.weight.group = 24; });
  refuses([](WNA16Arguments& a) { a.weight.codes = static_cast<const char*>(a.weight.codes) + 8; });
  RepackArguments sizes = {};
  EXPECT(repack(nullptr, sizes) == 0);
  sizes.n = sizes.k = 16;
  EXPECT(repack(nullptr, sizes) == invalid_arguments);
  sizes.group = 16;
  EXPECT(repack(nullptr, sizes) == invalid_arguments);
  sizes.code_stride = 7;
  EXPECT(repack(nullptr, sizes) == invalid_arguments);
  uint8_t zero = 0;
  sizes = {WeightCode::float8, 16,      16,    16,      nullptr, 16,
           ScaleType::float32, nullptr, &zero, nullptr, nullptr, &zero};
  EXPECT(repack(nullptr, sizes) == invalid_arguments);
  sizes.n = -1;
  EXPECT(repack(nullptr, sizes) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

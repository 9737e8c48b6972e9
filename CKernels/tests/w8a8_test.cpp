// Activations and weights in 8 bits against the definition: codes exactly, sums in double precision.

#include "gemm/w8a8.h"

#include <cmath>
#include <memory>

#include "tests/support.h"

namespace gpu::test {
namespace {

constexpr W8A8Form all_forms[] = {W8A8Form::rows16, W8A8Form::rows64, W8A8Form::tile128};

/// What a code stands for: E4M3 as its paper has it, from sign, exponent (bias 7) and three bits of fraction.
double value_of(RowCode code, uint8_t bits) {
  if (code == RowCode::int8) return int8_t(bits);
  const int exponent = bits >> 3 & 15;
  const double size = exponent == 0 ? std::ldexp(bits & 7, -9) : std::ldexp(8 + (bits & 7), exponent - 10);
  return bits >> 7 ? -size : size;
}

/// The nearest code of a number within the range of codes, ties to the even one.
uint8_t nearest(RowCode code, double value) {
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

std::string named(const W8A8Case& c) {
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
    return {element_type<T>, shape.m,           shape.k,      input.data(),      stride,         shape.code,
            shape.threshold, shape.fixed_scale, codes.data(), row_scales.data(), outliers.data()};
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

template <class T, class Output>
void test_w8a8(const W8A8Case& c) {
  W8A8Inputs<T, Output> inputs(c);
  std::vector<unsigned char> first;
  for (W8A8Form form : all_forms) {
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
    std::vector<float> x;
    float largest = 0;
    for (int k = 0; k < c.k; ++k) {
      x.push_back(to_float(inputs.input[size_t(row * inputs.stride + k)]));
      if (std::abs(x.back()) < c.threshold) largest = std::max(largest, std::abs(x.back()));
    }
    const bool is_float8 = c.code == RowCode::float8;
    const float most = is_float8 ? 448.0f : 127.0f;
    const float scale = c.fixed_scale > 0 ? c.fixed_scale : largest / most;
    EXPECT(inputs.row_scales[size_t(row)] == scale);
    std::vector<double> q;
    for (int k = 0; k < c.k; ++k) {
      const bool is_out = std::abs(x[size_t(k)]) >= c.threshold;
      const float units = scale > 0 && !is_out ? x[size_t(k)] / scale : 0;
      const float lowest = c.fixed_scale > 0 && !is_float8 ? -128.0f : -most;
      const uint8_t code = nearest(c.code, std::min(std::max(units, lowest), most));
      q.push_back(value_of(c.code, code));
      EXPECT(inputs.codes[size_t(row) * size_t(code_row_bytes(c.k)) + size_t(k)] == code);
      if (is_float8) continue;
      const uint32_t map = inputs.outliers[size_t(row * outlier_words(c.k) + k / 512)];
      if (is_out) EXPECT((map >> (k / 16 % 32) & 1) == 1);
    }
    for (int n = 0; n < c.n; ++n) {
      double sum = 0, magnitude = 0;
      auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int group = 0; group < inputs.groups; ++group) {
        double products = 0;
        const double weight_scale = inputs.scale_values[size_t(n * inputs.groups + group)];
        for (int k = group * c.group; k < c.k && k < (group + 1) * c.group; ++k) {
          const double weight = inputs.weights[size_t(n * c.k + k)];
          products += q[size_t(k)] * weight;
          if (is_float8) magnitude += std::abs(double(scale) * weight_scale * q[size_t(k)] * weight);
          if (std::abs(x[size_t(k)]) >= c.threshold) add(double(x[size_t(k)]) * weight_scale * weight);
        }
        add(double(scale) * weight_scale * products);
      }
      if (c.bias) add(inputs.bias[size_t(n)]);
      const size_t at = size_t(row * c.n + n);
      if (c.accumulate) add(to_float(inputs.initial[at]));
      const double value = to_float(inputs.output[at]);
      // One rounding each for a group's sum and its scale, for outliers and what follows; of E4M3 one for
      // each product of at most 128, and for each of those sums.
      const int products = is_float8 ? 128 + c.k / 32 : c.threshold < INFINITY ? c.k : 0;
      const double bound = output_error * std::abs(sum) +
                           (2 * inputs.groups + 40 + products) * 0x1p-24 * magnitude + smallest_step<T>;
      if (std::abs(value - sum) <= bound) continue;
      char text[200];
      std::snprintf(text, sizeof text, "%s: (%d, %d) is %.9g, expected %.9g within %.3g", named(c).c_str(),
                    row, n, value, sum, bound);
      return fail(__FILE__, __LINE__, text);
    }
  }
}

TEST("w8a8: rows, outputs and depth with tails") {
  test_w8a8<bf16, bf16>({1, 16, 128, 128});
  test_w8a8<f16, f16>({9, 66, 200, 200});
  test_w8a8<bf16, float>({66, 130, 96, 96, INFINITY, 0, ScaleType::float16, false, false, true});
  test_w8a8<f16, float>({17, 33, 45, 45, INFINITY, 0, ScaleType::bfloat16, true, true, true, 3});
}

TEST("w8a8: groups, and what an output may want") {
  test_w8a8<bf16, float>({5, 24, 384, 64, INFINITY, 0, ScaleType::float32, true, true, true});
  test_w8a8<f16, f16>({20, 40, 256, 32, INFINITY, 0, ScaleType::float16, true, false, false, 8});
}

TEST("w8a8: a fixed scale, which clips") { test_w8a8<bf16, bf16>({6, 24, 160, 160, INFINITY, 0.01f}); }

TEST("w8a8: outliers are multiplied unrounded, also with groups and past the first word of the map") {
  test_w8a8<f16, float>({7, 40, 600, 600, 6.0f, 0, ScaleType::float32, false, false, true});
  test_w8a8<bf16, bf16>({70, 24, 128, 64, 6.0f, 0, ScaleType::bfloat16, true, true});
  // Everything is an outlier.
  test_w8a8<f16, float>({3, 16, 50, 50, 1e-6f, 0, ScaleType::float32, false, false, true});
}

TEST("w8a8: E4M3: rows, outputs and depth with tails") {
  test_w8a8<bf16, bf16>(W8A8Case{1, 16, 128, 128}.in_float8());
  test_w8a8<f16, float>(
      W8A8Case{66, 130, 96, 96, INFINITY, 0, ScaleType::float16, false, false, true}.in_float8());
  test_w8a8<bf16, float>(
      W8A8Case{17, 33, 45, 45, INFINITY, 0, ScaleType::bfloat16, true, true, true, 3}.in_float8());
}

TEST("w8a8: E4M3: groups that 128 is a multiple of, and others") {
  test_w8a8<bf16, float>(
      W8A8Case{5, 24, 384, 64, INFINITY, 0, ScaleType::float32, true, true, true}.in_float8());
  test_w8a8<f16, f16>(
      W8A8Case{20, 40, 700, 160, INFINITY, 0, ScaleType::float16, true, false, false, 8}.in_float8());
  test_w8a8<f16, float>(
      W8A8Case{3, 16, 640, 256, INFINITY, 0, ScaleType::float32, false, false, true}.in_float8());
  test_w8a8<bf16, float>(
      W8A8Case{3, 16, 600, 600, INFINITY, 0, ScaleType::float32, false, false, true}.in_float8());
}

TEST("w8a8: E4M3: a fixed scale, which clips") {
  test_w8a8<bf16, bf16>(W8A8Case{6, 24, 160, 160, INFINITY, 0.004f}.in_float8());
}

TEST("w8a8: E4M3: what is not finite stays so") {
  for (float fixed_scale : {0.0f, 0.01f}) {
    W8A8Inputs<bf16, bf16> inputs(W8A8Case{3, 16, 128, 128, INFINITY, fixed_scale}.in_float8());
    inputs.input[40] = {0x7fc0};
    inputs.input[128 + 41] = {0x7f80};
    EXPECT(inputs.run(nullptr, W8A8Form::rows16) == 0);
    for (size_t n = 0; n < 16; ++n) {
      EXPECT(std::isnan(to_float(inputs.output[n])));
      // A scale of its own is infinite with the row's largest; a fixed one clips.
      EXPECT(std::isnan(to_float(inputs.output[16 + n])) == (fixed_scale == 0));
      EXPECT(!std::isnan(to_float(inputs.output[32 + n])));
    }
  }
}

TEST("w8a8: scales are copied as they are") {
  for (size_t count : {size_t(0), size_t(1), size_t(256 * 128 + 5)}) {
    const auto values = random_values<bf16>(count, 66);
    DeviceArray<bf16> source("source", values), target("target", count);
    expect_same_bits(
        "copy halves",
        [&](Stream stream) { return copy_halves(stream, source.data(), target.data(), int64_t(count)); },
        [&] { return target.bytes(); });
    EXPECT(target.bytes() == source.bytes());
  }
  EXPECT(copy_halves(nullptr, nullptr, nullptr, -1) == invalid_arguments);
}

TEST("w8a8: a row's bits do not depend on the other rows") {
  W8A8Inputs<bf16, bf16> many({40, 40, 256, 256, 6.0f}), one({1, 40, 256, 256, 6.0f});
  simt::Stream stream;
  EXPECT(many.run(&stream, W8A8Form::rows64) == 0);
  for (int row : {0, 3, 39}) {
    for (int k = 0; k < 256; ++k) one.input[size_t(k)] = many.input[size_t(row * 256 + k)];
    EXPECT(one.run(&stream, W8A8Form::rows16) == 0);
    for (int n = 0; n < 40; ++n) EXPECT(one.output[size_t(n)].bits == many.output[size_t(row * 40 + n)].bits);
  }
}

TEST("w8a8: what cannot be computed is refused") {
  W8A8Inputs<bf16, bf16> inputs({5, 16, 128, 64});
  const W8A8Arguments good = inputs.arguments();
  EXPECT(quantize_rows(nullptr, inputs.quantize()) == 0);
  EXPECT(gemm_w8a8(nullptr, good) == 0);
  auto refuses = [&](auto change) {
    W8A8Arguments bad = good;
    change(bad);
    EXPECT(gemm_w8a8(nullptr, bad) == invalid_arguments);
  };
  refuses([](W8A8Arguments& a) { a.m = -1; });
  refuses([](W8A8Arguments& a) { a.n = -1; });
  refuses([](W8A8Arguments& a) { a.k = 0; });
  refuses([](W8A8Arguments& a) { a.k = a.group = 1 << 18; });
  refuses([](W8A8Arguments& a) { a.group = 48; });
  refuses([](W8A8Arguments& a) { a.input_stride = a.k - 1; });
  refuses([](W8A8Arguments& a) { a.output_stride = a.n - 1; });
  refuses([](W8A8Arguments& a) { a.weight += 8; });
  QuantizeRowsArguments rows = inputs.quantize();
  rows.threshold = 0;
  EXPECT(quantize_rows(nullptr, rows) == invalid_arguments);
  rows = inputs.quantize();
  rows.fixed_scale = -1;
  EXPECT(quantize_rows(nullptr, rows) == invalid_arguments);
  rows = inputs.quantize();
  rows.input_stride = 127;
  EXPECT(quantize_rows(nullptr, rows) == invalid_arguments);
  rows = inputs.quantize();
  rows.code = RowCode::float8;
  rows.threshold = 6;
  EXPECT(quantize_rows(nullptr, rows) == invalid_arguments);
  CodeRowsArguments turned = {RowCode::int8, 1, 16, nullptr, 15, nullptr};
  EXPECT(repack_code_rows(nullptr, turned) == invalid_arguments);
  W8A8Inputs<bf16, bf16> none({0, 16, 128, 128});
  EXPECT(none.run(nullptr, W8A8Form::rows16) == 0);
}

}  // namespace
}  // namespace gpu::test

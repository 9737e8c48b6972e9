// Activations and weights in 8 bits against the definition: codes exactly, sums in double precision.

#include "tests/w8a8_inputs.h"

namespace gpu::test {
namespace {

constexpr W8A8Form all_forms[] = {W8A8Form::rows16, W8A8Form::rows64, W8A8Form::tile128};

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
  // More tiles than stages.
  test_w8a8<bf16, bf16>({3, 18, 640, 128});
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

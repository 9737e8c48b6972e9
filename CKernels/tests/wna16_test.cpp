// The product with weights of few bits against double precision on exactly dequantised weights, in every
// form.

#include "tests/wna16_inputs.h"

namespace gpu::test {
namespace {

constexpr WNA16Form all_forms[] = {WNA16Form::tokens8, WNA16Form::tokens16, WNA16Form::tokens32,
                                   WNA16Form::tokens64, WNA16Form::tile};

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
  expect_product(inputs, exact);
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
  for_other_codes({3, 18, 45, 16}, [](const WNA16Case& c) { test_wna16<f16, f16>(c); });
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

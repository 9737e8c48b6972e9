// Products with 2:4 sparse weights against double precision and against the dense product on the same
// weights.

#include "tests/sparse24_inputs.h"

namespace gpu::test {
namespace {

constexpr Sparse24Form all_forms[] = {Sparse24Form::tokens8, Sparse24Form::tokens16, Sparse24Form::tokens32,
                                      Sparse24Form::tokens64, Sparse24Form::tile};

/// Every form gives the same bits, and those are near the exact product, or equal to it.
template <class T, class Output>
void test_sparse24(const Sparse24Case& c, bool exact = false) {
  Sparse24Inputs<T, Output> inputs(c, exact);
  std::vector<unsigned char> first;
  for (Sparse24Form form : all_forms) {
    auto statistics = expect_same_bits(
        named(c) + " form " + std::to_string(int(form)),
        [&](Stream stream) { return inputs.run(stream, form); }, [&] { return inputs.output.bytes(); });
    EXPECT(statistics.bank_conflicts == 0);
    if (first.empty()) first = inputs.output.bytes();
    if (inputs.output.bytes() != first) {
      fail(__FILE__, __LINE__, named(c) + ": other bits in form " + std::to_string(int(form)));
    }
  }
  expect_sparse_product(inputs, exact);
}

TEST("sparse24: tokens, features and depth with tails") {
  test_sparse24<bf16, bf16>({1, 16, 128});
  test_sparse24<f16, f16>({9, 66, 256});
  test_sparse24<bf16, bf16>({17, 33, 72});
  test_sparse24<f16, f16>({40, 24, 20});
  test_sparse24<bf16, bf16>({66, 130, 100});
}

TEST("sparse24: k in parts, and all that an output may want") {
  test_sparse24<bf16, float>({2, 20, 128 * 4, 0, false, true, true, true});
  test_sparse24<f16, float>({5, 31, 128 * 5 + 8, 0, false, false, true, true});
  test_sparse24<bf16, bf16>({3, 18, 128 * 6, 0, false, true});
}

TEST("sparse24: inputs that allow no vectors") {
  test_sparse24<bf16, bf16>({5, 24, 128, 0, false, true, true, false, 3});
  test_sparse24<f16, f16>({5, 24, 44, 0, false, false, false, false, 1});
  test_sparse24<bf16, bf16>({5, 24, 192, 64, true, true, true, false, 3});
  test_sparse24<f16, f16>({5, 24, 132, 132, false, false, false, false, 1});
}

TEST("sparse24: scales of every type") {
  for (ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
    test_sparse24<bf16, bf16>({3, 36, 256, 64, true, false, false, false, 0, type});
    test_sparse24<f16, float>({3, 36, 256, 256, false, false, false, true, 0, type});
  }
}

TEST("sparse24: small integers are exact") {
  test_sparse24<f16, float>({7, 40, 128 * 4, 0, false, false, false, true}, true);
  test_sparse24<bf16, float>({7, 40, 128 * 4, 0, false, false, false, true}, true);
}

TEST("sparse24: codes in groups, with zeros and without") {
  for (int group : {32, 64, 128, 384}) {
    for (bool zeros : {false, true}) {
      test_sparse24<bf16, bf16>({3, 24, 384, group, zeros});
      test_sparse24<f16, f16>({3, 24, 384, group, zeros});
    }
  }
  test_sparse24<f16, f16>({3, 40, 100, 100, true});
  test_sparse24<bf16, float>({2, 20, 128 * 4, 128, true, true, true, true});
  test_sparse24<f16, float>({5, 31, 128 * 5 + 8, 128 * 5 + 8, true, false, true, true});
  test_sparse24<bf16, bf16>({66, 130, 128 * 6, 96, true});
  test_sparse24<f16, float>({7, 40, 128 * 4, 64, true, false, false, true}, true);
  test_sparse24<bf16, float>({7, 40, 128 * 4, 64, true, false, false, true}, true);
}

TEST("sparse24: 8-bit codes") {
  auto with = [](Sparse24Case c) {
    c.code = WeightCode::int8;
    return c;
  };
  test_sparse24<bf16, bf16>(with({3, 24, 384, 64, true}));
  test_sparse24<f16, f16>(with({9, 40, 100, 100}));
  test_sparse24<bf16, float>(with({2, 20, 128 * 4, 128, false, true, true, true}));
  test_sparse24<f16, float>(with({5, 31, 128 * 5 + 8, 128 * 5 + 8, true, false, true, true}));
  test_sparse24<bf16, bf16>(with({66, 130, 128 * 3, 96, true, false, false, false, 3}));
  test_sparse24<f16, f16>(with({66, 20, 128, 32, false, false, false, false, 3}));
  test_sparse24<bf16, float>(with({7, 40, 128 * 4, 64, true, false, false, true}), true);
  test_sparse24<f16, float>(with({7, 40, 128 * 4, 64, true, false, false, true}), true);
}

/// The weight written out again; codes rounded to `T`.
template <class T>
void test_expansion(const Sparse24Case& c) {
  Sparse24Inputs<T, T> inputs(c);
  const int64_t stride = dequantized_stride(c.k);
  DeviceArray<T> output("dense", size_t(c.n * stride));
  expect_same_bits(
      "expand " + named(c),
      [&](Stream stream) {
        return expand_sparse24(stream, element_type<T>, inputs.sparse(), output.data(), stride);
      },
      [&] { return output.bytes(); });
  for (int n = 0; n < c.n; ++n) {
    for (int k = 0; k < c.k; ++k) {
      const T expected = from_float<T>(float(inputs.weight[size_t(n * c.k + k)]));
      // Of zero either sign: codes that are their zero may be scaled by a negative number.
      EXPECT(to_float(output[size_t(n * stride + k)]) == to_float(expected));
    }
  }
}

TEST("sparse24: a weight is written out") {
  test_expansion<bf16>({0, 33, 100});
  test_expansion<f16>({0, 16, 64});
  for (WeightCode code : {WeightCode::int4, WeightCode::int8}) {
    Sparse24Case c = {0, 33, 192, 64, true};
    c.code = code;
    test_expansion<bf16>(c);
    test_expansion<f16>(c);
    c.k = c.group = 100;
    test_expansion<bf16>(c);
  }
}

TEST("sparse24: the product with the weight written out") {
  Sparse24Inputs<f16, float> inputs({70, 40, 128 * 4, 0, false, true, false, true}, true);
  const int64_t bytes = expanded_sparse24_workspace_bytes(40, 128 * 4);
  DeviceArray<unsigned char> workspace("workspace", size_t(bytes));
  simt::Stream stream;
  EXPECT(inputs.run(&stream, Sparse24Form::tile) == 0);
  const std::vector<unsigned char> expected = inputs.output.bytes();
  expect_same_bits(
      "expanded",
      [&](Stream s) { return gemm_expanded_sparse24(s, inputs.arguments(), false, workspace.data(), bytes); },
      [&] { return inputs.output.bytes(); });
  EXPECT(inputs.output.bytes() == expected);
  EXPECT(gemm_expanded_sparse24(nullptr, inputs.arguments(), false, workspace.data(), bytes - 1) ==
         invalid_arguments);
  EXPECT(expand_sparse24(nullptr, ElementType::float16, inputs.sparse(), workspace.data(), 128 * 4 + 2) ==
         invalid_arguments);
  EXPECT(expand_sparse24(nullptr, ElementType::float16, inputs.sparse(), workspace.data(), 128 * 4 - 4) ==
         invalid_arguments);
}

TEST("sparse24: nothing to do, and nothing to sum") {
  test_sparse24<bf16, bf16>({0, 16, 128});
  test_sparse24<bf16, bf16>({4, 0, 128});
  test_sparse24<f16, float>({4, 16, 0, 0, false, true, true, true});
  test_sparse24<f16, float>({4, 16, 0, 32, false, true, true, true});
}

TEST("sparse24: a row's bits do not depend on the other rows") {
  Sparse24Inputs<bf16, bf16> many({40, 40, 128 * 4}), one({1, 40, 128 * 4});
  simt::Stream stream;
  EXPECT(many.run(&stream, Sparse24Form::tokens64) == 0);
  for (int row : {0, 39}) {
    for (int k = 0; k < 128 * 4; ++k) one.input[size_t(k)] = many.input[size_t(row * 128 * 4 + k)];
    Sparse24Arguments alone = many.arguments();
    DeviceArray<bf16> output("alone", 40);
    alone.m = 1;
    alone.input = one.input.data();
    alone.output = output.data();
    EXPECT(gemm_sparse24(&stream, alone, {one.partials.data(), int64_t(one.partials.size())}) == 0);
    for (int n = 0; n < 40; ++n) EXPECT(output[size_t(n)].bits == many.output[size_t(row * 40 + n)].bits);
  }
}

TEST("sparse24: a dense weight is pruned to its two largest of four") {
  simt::Random random(65);
  for (int k : {4, 36, 1024, 2052}) {
    const int n = 5, stride = k + 3, bytes = (k + 7) / 8;
    DeviceArray<bf16> weight("weight", size_t(n * stride)), values("values", size_t(n * k / 2));
    // Few sizes, so that there are equals, zeros and both signs.
    for (int i = 0; i < n * stride; ++i) weight[size_t(i)] = from_float<bf16>(float(random.below(7)) - 3);
    DeviceArray<uint8_t> mask("mask", size_t(n * bytes));
    const Sparse24CompressArguments a = {n,      k,           ElementType::bfloat16, weight.data(),
                                         stride, mask.data(), values.data()};
    expect_same_bits(
        "compress", [&](Stream stream) { return compress_sparse24(stream, a); },
        [&] { return values.bytes(); });
    for (int row = 0; row < n; ++row) {
      int stored = 0;
      for (int quad = 0; quad < k / 4; ++quad) {
        int order[4] = {0, 1, 2, 3};
        auto size = [&](int i) { return std::abs(to_float(weight[size_t(row * stride + 4 * quad + i)])); };
        std::stable_sort(order, order + 4, [&](int i, int j) { return size(i) > size(j); });
        std::sort(order, order + 2);
        for (int i = 0; i < 4; ++i) {
          const bool kept = i == order[0] || i == order[1];
          const int at = 4 * quad + i;
          EXPECT((mask[size_t(row * bytes + at / 8)] >> (at % 8) & 1) == kept);
          if (kept) {
            EXPECT(values[size_t(row * (k / 2) + stored)].bits == weight[size_t(row * stride + at)].bits);
            ++stored;
          }
        }
      }
      if (k % 8 != 0) EXPECT(mask[size_t(row * bytes + bytes - 1)] >> 4 == 0);
    }
  }
}

TEST("sparse24: what cannot be computed is refused") {
  Sparse24Inputs<bf16, bf16> inputs({5, 16, 128 * 4}), coded({5, 16, 128 * 4, 128});
  const int64_t floats = sparse24_workspace_floats(5, 16, 128 * 4);
  EXPECT(floats == 2 * 5 * 16);
  GemmWorkspace workspace = {inputs.partials.data(), floats};
  EXPECT(gemm_sparse24(nullptr, inputs.arguments(), workspace) == 0);
  EXPECT(gemm_sparse24(nullptr, inputs.arguments(), {inputs.partials.data(), floats - 1}) ==
         invalid_arguments);
  auto refuses = [&](Sparse24Arguments bad, auto change) {
    change(bad);
    EXPECT(gemm_sparse24(nullptr, bad, workspace) == invalid_arguments);
  };
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.m = -1; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.n = -1; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.k = -4; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.k = 126; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.input_stride = a.weight.k - 1; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.output_stride = a.weight.n - 1; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.metadata = nullptr; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.values = nullptr; });
  refuses(inputs.arguments(),
          [](Sparse24Arguments& a) { a.weight.values = static_cast<const char*>(a.weight.values) + 8; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.codes.group = 0; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.codes.group = 24; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.codes.k = a.weight.k; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.codes.code = WeightCode::int3; });
  Sparse24ReorderArguments reorder = {};
  EXPECT(reorder_sparse24(nullptr, reorder) == 0);
  reorder.n = 16;
  reorder.k = 32;
  reorder.values = inputs.metadata.data();
  EXPECT(reorder_sparse24(nullptr, reorder) == invalid_arguments);
  reorder.values = nullptr;
  reorder.k = 30;
  EXPECT(reorder_sparse24(nullptr, reorder) == invalid_arguments);
  Sparse24CompressArguments compress = {};
  EXPECT(compress_sparse24(nullptr, compress) == 0);
  compress.n = 1;
  compress.k = 8;
  compress.stride = 7;
  EXPECT(compress_sparse24(nullptr, compress) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

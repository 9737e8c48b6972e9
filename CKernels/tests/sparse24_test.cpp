// Products with 2:4 sparse weights against double precision and against the dense product on the same
// weights.

#include "sparse/sparse24_kernel.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

constexpr Sparse24Form all_forms[] = {Sparse24Form::tokens8, Sparse24Form::tokens16, Sparse24Form::tokens32,
                                      Sparse24Form::tokens64, Sparse24Form::tile};

struct Sparse24Case {
  int m, n, k;
  /// 0 for 16-bit values.
  int group = 0;
  bool zeros = false;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  int padding = 0;
};

std::string named(const Sparse24Case& c) {
  return "sparse24 " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         " group " + std::to_string(c.group) + (c.float_output ? " float" : "");
}

template <class T, class Output>
struct Sparse24Inputs {
  explicit Sparse24Inputs(const Sparse24Case& c, bool exact = false)
      : shape(c),
        groups(c.group > 0 && c.k > 0 ? (c.k + c.group - 1) / c.group : 0),
        stride(c.k + c.padding),
        input("input", size_t(c.m * stride)),
        initial(random_values<Output>(size_t(c.m * c.n), 63)),
        output("output", size_t(c.m * c.n)),
        bias("bias", random_values<float>(size_t(c.n), 64)),
        packed("packed", size_t(c.group ? sparse24_code_bytes(c.n, c.k) : sparse24_value_bytes(c.n, c.k))),
        metadata("metadata", size_t(sparse24_metadata_bytes(c.n, c.k) / 4)),
        packed_scales("scales", size_t(sparse24_scale_count(c.n, c.k, c.group))),
        packed_zeros("zeros", size_t(sparse24_scale_count(c.n, c.k, c.group))),
        partials("partials", size_t(sparse24_workspace_most(c.n, c.k) / 256 * c.m)) {
    simt::Random random(61);
    for (int row = 0; row < c.m; ++row) {
      for (int k = 0; k < c.k; ++k) {
        const float value = exact ? float(random.below(9)) - 4 : float(random.below(1 << 12)) / (1 << 11) - 1;
        input[size_t(row * stride + k)] = from_float<T>(value);
      }
    }
    const int mask_bytes = (c.k + 7) / 8, words = (c.k / 2 + 7) / 8;
    std::vector<uint8_t> mask(size_t(c.n * mask_bytes));
    std::vector<T> values;
    std::vector<uint32_t> codes(size_t(c.n * words));
    std::vector<f16> scales;
    std::vector<uint8_t> zeros;
    for (int i = 0; i < c.n * groups; ++i) {
      scales.push_back(from_float<f16>(exact ? std::exp2(float(random.below(4)) - 2)
                                             : 0.01f + float(random.below(1000)) * 1e-4f));
      zeros.push_back(c.zeros ? uint8_t(random.below(16)) : uint8_t(8));
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
            const uint32_t code = random.below(16);
            codes[size_t(n * words + stored / 8)] |= code << (4 * (stored % 8));
            const size_t at = size_t(n * groups + k / c.group);
            kept = double(to_float(scales[at])) * (int(code) - int(zeros[at]));
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
    DeviceArray<f16> device_scales("scales", scales);
    DeviceArray<uint8_t> device_zeros("zeros", zeros);
    const Sparse24ReorderArguments reorder = {c.n,
                                              c.k,
                                              device_mask.data(),
                                              c.group ? nullptr : device_values.data(),
                                              c.group ? device_codes.data() : nullptr,
                                              c.group,
                                              ScaleType::float16,
                                              device_scales.data(),
                                              c.zeros ? device_zeros.data() : nullptr,
                                              packed.data(),
                                              metadata.data(),
                                              packed_scales.data(),
                                              c.zeros ? packed_zeros.data() : nullptr};
    expect_same_bits(
        "reorder", [&](Stream stream) { return reorder_sparse24(stream, reorder); },
        [&] { return packed.bytes(); });
  }

  Sparse24Arguments arguments() {
    return {element_type<T>,
            shape.m,
            {shape.n, shape.k, shape.group ? nullptr : packed.data(), shape.group ? packed.data() : nullptr,
             metadata.data(), shape.group, ScaleType::float16, packed_scales.data(),
             shape.zeros ? packed_zeros.data() : nullptr},
            input.data(),
            stride,
            shape.bias ? bias.data() : nullptr,
            output.data(),
            shape.n,
            shape.accumulate,
            shape.float_output};
  }
  Status run(Stream stream, Sparse24Form form) {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
    return gemm_sparse24_as(stream, form, arguments(), {partials.data(), int64_t(partials.size())});
  }

  Sparse24Case shape;
  int groups;
  int stride;
  /// [n, k]
  std::vector<double> weight;
  DeviceArray<T> input;
  std::vector<Output> initial;
  DeviceArray<Output> output;
  DeviceArray<float> bias;
  DeviceArray<unsigned char> packed;
  DeviceArray<uint32_t> metadata;
  DeviceArray<f16> packed_scales;
  DeviceArray<uint8_t> packed_zeros;
  DeviceArray<float> partials;
};

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
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.codes = a.weight.values; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.values = nullptr; });
  refuses(inputs.arguments(),
          [](Sparse24Arguments& a) { a.weight.values = static_cast<const char*>(a.weight.values) + 8; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.group = 0; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.group = 48; });
  Sparse24ReorderArguments reorder = {};
  EXPECT(reorder_sparse24(nullptr, reorder) == 0);
  reorder.n = 16;
  reorder.k = 32;
  EXPECT(reorder_sparse24(nullptr, reorder) == invalid_arguments);
  reorder.codes = inputs.metadata.data();
  reorder.group = 48;
  EXPECT(reorder_sparse24(nullptr, reorder) == invalid_arguments);
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

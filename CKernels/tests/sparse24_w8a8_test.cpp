// The product of int8 activations with 2:4 sparse int8 weights, against the dense kernel on the weight with
// its zeros, which is held to double precision itself, and against integers.

#include "sparse/sparse24_w8a8.h"

#include <limits>

#include "tests/wna16_inputs.h"

namespace gpu::test {
namespace {

constexpr Sparse24W8A8Form all_forms[] = {Sparse24W8A8Form::tokens16, Sparse24W8A8Form::tokens64,
                                          Sparse24W8A8Form::tile};

struct Case {
  int m, n, k, group;
  ScaleType scale_type = ScaleType::float32;
  bool bias = false;
  bool accumulate = false;
};

template <class T, class Output>
struct Inputs {
  explicit Inputs(const Case& c, bool exact = false)
      : shape(c),
        groups(c.k > 0 ? (c.k + c.group - 1) / c.group : 0),
        row_bytes(int(code_row_bytes(c.k))),
        codes("codes", size_t(c.m * row_bytes)),
        dense("dense", size_t(c.n * row_bytes)),
        outliers("outliers", std::vector<uint32_t>(size_t(c.m * outlier_words(c.k)))),
        packed("packed", size_t(sparse24_int8_bytes(c.n, c.k))),
        metadata("metadata", size_t(sparse24_metadata_bytes(c.n, c.k) / 4)),
        scales("scales", Scales(size_t(c.n * groups), c.scale_type, exact).bytes),
        bias("bias", random_values<float>(size_t(c.n), 71)),
        initial(random_values<Output>(size_t(c.m * c.n), 72)),
        output("output", size_t(c.m * c.n)),
        input("input", random_values<T>(size_t(c.m * c.k), 74)),
        row_scales("row scales", size_t(c.m)) {
    simt::Random random(73);
    for (int row = 0; row < c.m; ++row) {
      row_scales[size_t(row)] = exact ? 1.0f : 0.01f + float(random.below(1000)) * 1e-5f;
      for (int k = 0; k < row_bytes; ++k) {
        codes[size_t(row * row_bytes + k)] = uint8_t(k < c.k ? int(random.below(255)) - 127 : 0);
      }
    }
    const int mask_bytes = (c.k + 7) / 8, stride = c.k / 2 + 3;
    std::vector<uint8_t> mask(size_t(c.n * mask_bytes)), kept(size_t(c.n * stride));
    for (size_t i = 0; i < dense.size(); ++i) dense[i] = 0;
    for (int n = 0; n < c.n; ++n) {
      int stored = 0;
      for (int quad = 0; quad < c.k / 4; ++quad) {
        static constexpr int pairs[6][2] = {{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}};
        for (int place : pairs[random.below(6)]) {
          const int k = 4 * quad + place;
          const uint8_t code = uint8_t(random.below(256));
          mask[size_t(n * mask_bytes + k / 8)] |= uint8_t(1 << (k % 8));
          kept[size_t(n * stride + stored++)] = code;
          dense[size_t(n * row_bytes + k)] = uint8_t(int(code) - 128);
        }
      }
    }
    DeviceArray<uint8_t> device_mask("mask", mask), device_kept("kept", kept);
    const Sparse24Int8ReorderArguments reorder = {
        c.n, c.k, device_mask.data(), device_kept.data(), stride, packed.data(), metadata.data()};
    expect_same_bits(
        "reorder int8", [&](Stream stream) { return reorder_sparse24_int8(stream, reorder); },
        [&] {
          auto bytes = packed.bytes();
          const auto more = metadata.bytes();
          bytes.insert(bytes.end(), more.begin(), more.end());
          return bytes;
        });
  }

  W8A8Arguments dense_arguments() {
    return {element_type<T>, RowCode::int8,    shape.m,          shape.n,
            shape.k,         shape.group,      codes.data(),     row_scales.data(),
            outliers.data(), input.data(),     shape.k,          std::numeric_limits<float>::infinity(),
            dense.data(),    shape.scale_type, scales.data(),    shape.bias ? bias.data() : nullptr,
            output.data(),   shape.n,          shape.accumulate, std::is_same_v<Output, float>};
  }
  Sparse24W8A8Arguments arguments() { return {dense_arguments(), packed.data(), metadata.data()}; }
  void restore_output() {
    if (!initial.empty())
      std::memcpy(static_cast<void*>(output.data()), initial.data(), initial.size() * sizeof(Output));
  }

  Case shape;
  int groups, row_bytes;
  DeviceArray<uint8_t> codes, dense;
  DeviceArray<uint32_t> outliers;
  DeviceArray<unsigned char> packed;
  DeviceArray<uint32_t> metadata;
  DeviceArray<unsigned char> scales;
  DeviceArray<float> bias;
  std::vector<Output> initial;
  DeviceArray<Output> output;
  DeviceArray<T> input;
  DeviceArray<float> row_scales;
};

template <class T, class Output>
void test_case(const Case& c) {
  Inputs<T, Output> inputs(c);
  inputs.restore_output();
  simt::Stream stream;
  EXPECT(gemm_w8a8_as(&stream, W8A8Form::rows64, inputs.dense_arguments()) == 0);
  const std::vector<unsigned char> expected = inputs.output.bytes();
  for (Sparse24W8A8Form form : all_forms) {
    const std::string name = "sparse24_w8a8 " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" +
                             std::to_string(c.k) + " form " + std::to_string(int(form));
    const auto statistics = expect_same_bits(
        name,
        [&](Stream s) {
          inputs.restore_output();
          return gemm_sparse24_w8a8_as(s, form, inputs.arguments());
        },
        [&] { return inputs.output.bytes(); });
    EXPECT(statistics.bank_conflicts == 0);
    if (inputs.output.bytes() != expected)
      fail(__FILE__, __LINE__, name + ": other bits than the dense product");
  }
}

TEST("sparse24_w8a8: the dense product's bits") {
  test_case<bf16, bf16>({1, 16, 128, 64});
  test_case<f16, f16>({9, 66, 256, 128});
  test_case<bf16, bf16>({17, 33, 72, 72, ScaleType::float16});
  test_case<f16, f16>({40, 24, 20, 20, ScaleType::bfloat16});
  test_case<bf16, float>({130, 130, 192, 64, ScaleType::float16, true, true});
  test_case<f16, float>({3, 20, 640, 128, ScaleType::float32, true, true});
  test_case<bf16, bf16>({0, 16, 64, 64});
  test_case<bf16, bf16>({4, 0, 64, 64});
}

TEST("sparse24_w8a8: integers are exact") {
  Inputs<bf16, float> inputs({5, 20, 256, 64}, true);
  simt::Stream stream;
  EXPECT(gemm_sparse24_w8a8(&stream, inputs.arguments()) == 0);
  const Scales scales(size_t(20 * 4), ScaleType::float32, true);
  for (int row = 0; row < 5; ++row) {
    for (int n = 0; n < 20; ++n) {
      double sum = 0;
      for (int k = 0; k < 256; ++k) {
        sum += double(scales.values[size_t(n * 4 + k / 64)]) * int8_t(inputs.codes[size_t(row * 256 + k)]) *
               int8_t(inputs.dense[size_t(n * 256 + k)]);
      }
      EXPECT(inputs.output[size_t(row * 20 + n)] == sum);
    }
  }
}

TEST("sparse24_w8a8: what cannot be computed is refused") {
  Inputs<bf16, bf16> inputs({5, 16, 128, 64});
  auto refuses = [&](auto change) {
    Sparse24W8A8Arguments bad = inputs.arguments();
    change(bad);
    EXPECT(gemm_sparse24_w8a8(nullptr, bad) == invalid_arguments);
  };
  EXPECT(gemm_sparse24_w8a8(nullptr, inputs.arguments()) == 0);
  refuses([](Sparse24W8A8Arguments& a) { a.gemm.m = -1; });
  refuses([](Sparse24W8A8Arguments& a) { a.gemm.k = 126; });
  refuses([](Sparse24W8A8Arguments& a) { a.gemm.k = 131076; });
  refuses([](Sparse24W8A8Arguments& a) { a.gemm.group = 32; });
  refuses([](Sparse24W8A8Arguments& a) { a.gemm.output_stride = 15; });
  refuses([](Sparse24W8A8Arguments& a) { a.metadata = nullptr; });
  refuses([](Sparse24W8A8Arguments& a) { a.packed = static_cast<const char*>(a.packed) + 8; });
  Sparse24Int8ReorderArguments reorder = {};
  EXPECT(reorder_sparse24_int8(nullptr, reorder) == 0);
  reorder.n = 1;
  reorder.k = 8;
  reorder.code_stride = 3;
  EXPECT(reorder_sparse24_int8(nullptr, reorder) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

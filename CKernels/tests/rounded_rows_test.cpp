// Norms and activations that round their rows to codes as well: the codes are those that `quantize_rows`
// makes of the output, which w8a8_test.cpp compares with double precision, and the output stays what it is.

#include "elementwise/arguments.h"
#include "gemm/w8a8.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

struct Rounding {
  RowCode code;
  float threshold;
  float fixed_scale;
};

constexpr Rounding roundings[] = {{RowCode::int8, INFINITY, 0},
                                  {RowCode::int8, 1.0f, 0},
                                  {RowCode::int8, INFINITY, 0.01f},
                                  {RowCode::float8, INFINITY, 0},
                                  {RowCode::float8, INFINITY, 0.002f}};

/// Memory for the codes of some rows.
struct Codes {
  Codes(const Rounding& rounding, int rows, int width)
      : codes("codes", size_t(rows * code_row_bytes(width))),
        scales("scales", size_t(rows)),
        outliers("outliers", size_t(rows * outlier_words(width))),
        target{rounding.code, rounding.threshold, rounding.fixed_scale,
               codes.data(),  scales.data(),      outliers.data()} {}

  std::vector<unsigned char> bytes() {
    std::vector<unsigned char> all = codes.bytes();
    std::vector<std::vector<unsigned char>> others = {scales.bytes()};
    if (target.code == RowCode::int8) others.push_back(outliers.bytes());
    for (const auto& other : others) all.insert(all.end(), other.begin(), other.end());
    return all;
  }

  DeviceArray<uint8_t> codes;
  DeviceArray<float> scales;
  DeviceArray<uint32_t> outliers;
  RowCodes target;
};

/// `launch(target)` launches the operation, with codes or without.
template <class T>
void expect_codes(const char* what, int rows, int width, DeviceArray<T>& output,
                  const std::function<Status(Stream, const RowCodes&)>& launch) {
  EXPECT(launch(nullptr, {}) == 0);
  const auto plain = output.bytes();
  for (const Rounding& rounding : roundings) {
    Codes separate(rounding, rows, width), fused(rounding, rows, width);
    EXPECT(quantize_rows(nullptr, {element_type<T>, rows, width, output.data(), width, separate.target}) ==
           0);
    expect_same_bits(
        what,
        [&](Stream stream) {
          // What an earlier launch has left would hide that a row is rounded before it is written.
          if (!plain.empty()) std::memset(output.data(), 0xff, plain.size());
          return launch(stream, fused.target);
        },
        [&] { return fused.bytes(); });
    EXPECT(fused.bytes() == separate.bytes());
    EXPECT(output.bytes() == plain);
  }
}

template <class T>
void test_norms(int rows, int width) {
  const size_t count = size_t(rows) * size_t(width);
  const auto values = random_values<T>(count, 1, 2.0f);
  DeviceArray<T> residual("residual", count), input("input", random_values<T>(count, 2));
  DeviceArray<T> weight("weight", random_values<T>(size_t(width), 3));
  DeviceArray<T> bias("bias", random_values<T>(size_t(width), 4)), output("output", count);
  for (bool rms : {true, false}) {
    expect_codes<T>(rms ? "rms_norm" : "layer_norm", rows, width, output,
                    [&](Stream stream, const RowCodes& target) {
                      if (count) std::memcpy(residual.data(), values.data(), count * sizeof(T));
                      const NormArguments arguments = {element_type<T>,
                                                       rows,
                                                       width,
                                                       residual.data(),
                                                       input.data(),
                                                       weight.data(),
                                                       rms ? nullptr : bias.data(),
                                                       output.data(),
                                                       1e-5f,
                                                       target};
                      return rms ? rms_norm(stream, arguments) : layer_norm(stream, arguments);
                    });
  }
}

template <class T>
void test_activations(ActivationKind kind, bool gated, int rows, int width) {
  const size_t count = size_t(rows) * size_t(width);
  DeviceArray<T> gate("gate", random_values<T>(2 * count, 5, 4.0f)), output("output", count);
  expect_codes<T>("activation", rows, width, output, [&](Stream stream, const RowCodes& target) {
    return activation(stream, {element_type<T>, kind, rows, width, gate.data(),
                               gated ? gate.data() + width : nullptr, 2 * width, output.data(), target});
  });
}

// One vector, tails, several words of outliers, more than one round of a block.
TEST("rounded rows: of norms") {
  test_norms<bf16>(1, 8);
  test_norms<f16>(2, 33);
  test_norms<bf16>(3, 600);
  test_norms<f16>(2, 2056);
  test_norms<bf16>(1, 33);
}

TEST("rounded rows: of activations") {
  for (ActivationKind kind :
       {ActivationKind::silu, ActivationKind::gelu, ActivationKind::gelu_tanh, ActivationKind::relu}) {
    test_activations<bf16>(kind, true, 2, 520);
    test_activations<f16>(kind, false, 2, 520);
    test_activations<bf16>(kind, false, 1, 33);
    test_activations<f16>(kind, true, 1, 33);
  }
  test_activations<bf16>(ActivationKind::silu, true, 1, 2056);
  test_activations<f16>(ActivationKind::relu, true, 2, 8);
}

TEST("rounded rows: no rows, no codes") {
  test_norms<bf16>(0, 64);
  test_activations<bf16>(ActivationKind::silu, true, 0, 64);
}

}  // namespace
}  // namespace gpu::test

// The product with 4-bit weights on TMA and wgmma against double precision on exactly dequantised weights.

#include "gemm/sm90/wna16.h"
#include "tests/wna16_inputs.h"

namespace gpu::test {
namespace {

template <class T, class Output>
void test_wna16(const WNA16Case& c, bool exact = false) {
  WNA16Inputs<T, Output> inputs(c, exact);
  expect_same_bits(
      named(c) + " sm90",
      [&](Stream stream) {
        inputs.restore_output();
        return gemm_wna16_sm90(stream, inputs.arguments());
      },
      [&] { return inputs.output.bytes(); });
  expect_product(inputs, exact);
}

TEST("wna16 sm90: tokens, features and depth with tails") {
  test_wna16<bf16, bf16>({1, 16, 64, 64});
  test_wna16<f16, f16>({9, 66, 200, 200});
  test_wna16<bf16, bf16>({130, 140, 128, 64, true});
}

TEST("wna16 sm90: more stages than the ring has, and groups of several spans") {
  test_wna16<bf16, bf16>({3, 24, 64 * 9, 192, true, ScaleType::bfloat16});
  test_wna16<f16, f16>({5, 40, 64 * 14, 128, false, ScaleType::float32});
  test_wna16<f16, float>({2, 16, 64 * 7 + 8, 64 * 7 + 8, true, ScaleType::float16, false, false, true});
}

TEST("wna16 sm90: all that an output may want, and rows apart") {
  test_wna16<bf16, float>({6, 21, 256, 128, true, ScaleType::float16, true, true, true});
  test_wna16<f16, f16>({4, 18, 128, 64, false, ScaleType::float16, true, false, false, 8});
}

TEST("wna16 sm90: small integers and powers of two are exact") {
  test_wna16<f16, float>({7, 40, 128 * 3, 64, true, ScaleType::float16, false, false, true}, true);
  test_wna16<bf16, float>({7, 40, 128 * 3, 128, true, ScaleType::float16, false, false, true}, true);
}

TEST("wna16 sm90: a row's bits do not depend on the other rows") {
  WNA16Inputs<bf16, bf16> many({140, 40, 256, 128, true});
  simt::Stream stream;
  EXPECT(gemm_wna16_sm90(&stream, many.arguments()) == 0);
  for (int row : {0, 139}) {
    WNA16Arguments alone = many.arguments();
    DeviceArray<bf16> output("alone", 40);
    alone.m = 1;
    alone.input = many.input.data() + row * many.stride;
    alone.output = output.data();
    EXPECT(gemm_wna16_sm90(&stream, alone) == 0);
    for (int n = 0; n < 40; ++n) EXPECT(output[size_t(n)].bits == many.output[size_t(row * 40 + n)].bits);
  }
}

TEST("wna16 sm90: what is not supported is refused") {
  WNA16Inputs<bf16, bf16> inputs({5, 16, 128, 64});
  const WNA16Arguments good = inputs.arguments();
  EXPECT(gemm_wna16_sm90_supports(good) && gemm_wna16_sm90(nullptr, good) == 0);
  auto refuses = [&](auto change) {
    WNA16Arguments bad = good;
    change(bad);
    EXPECT(!gemm_wna16_sm90_supports(bad) && gemm_wna16_sm90(nullptr, bad) == invalid_arguments);
  };
  refuses([](WNA16Arguments& a) { a.m = 0; });
  refuses([](WNA16Arguments& a) { a.weight.n = 0; });
  refuses([](WNA16Arguments& a) { a.weight.k = 0; });
  refuses([](WNA16Arguments& a) { a.weight.k = a.weight.group = 124; });
  refuses([](WNA16Arguments& a) { a.weight.group = 32; });
  refuses([](WNA16Arguments& a) { a.weight.code = WeightCode::int8; });
  refuses([](WNA16Arguments& a) { a.input_stride = 132; });
  refuses([](WNA16Arguments& a) { a.output_stride = 15; });
  refuses([](WNA16Arguments& a) { a.input = static_cast<const bf16*>(a.input) + 4; });
}

}  // namespace
}  // namespace gpu::test

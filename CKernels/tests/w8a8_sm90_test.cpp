// The product of activations and weights of 8 bits with TMA and wgmma against the general form, which is held
// to double precision itself (w8a8_test.cpp).

#include "tests/w8a8_inputs.h"

namespace gpu::test {
namespace {

/// The general form's bits: integers are exact, and the emulation sums E4M3 in order of k in both.
template <class T, class Output>
void test_w8a8_sm90(const W8A8Case& c) {
  W8A8Inputs<T, Output> inputs(c);
  auto restore = [&] {
    if (!inputs.initial.empty()) {
      std::memcpy(static_cast<void*>(inputs.output.data()), inputs.initial.data(),
                  inputs.initial.size() * sizeof(Output));
    }
  };
  simt::Stream stream;
  EXPECT(inputs.run(&stream, W8A8Form::rows64) == 0);
  const std::vector<unsigned char> expected = inputs.output.bytes();
  expect_same_bits(
      "sm90 " + named(c),
      [&](Stream s) {
        restore();
        return gemm_w8a8_sm90(s, inputs.arguments());
      },
      [&] { return inputs.output.bytes(); });
  if (inputs.output.bytes() != expected)
    fail(__FILE__, __LINE__, named(c) + ": other bits than the general form");
}

template <class T, class Output>
void test_both(const W8A8Case& c) {
  test_w8a8_sm90<T, Output>(c);
  test_w8a8_sm90<T, Output>(c.in_float8());
}

TEST("w8a8 sm90: rows, outputs and depth with tails") {
  test_both<bf16, bf16>({1, 16, 128, 128});
  test_both<f16, f16>({130, 136, 200, 200});
  test_both<bf16, bf16>({64, 264, 45, 45});
}

TEST("w8a8 sm90: groups, and more stages than the ring has") {
  test_both<bf16, float>({5, 24, 384, 128, INFINITY, 0, ScaleType::float32, true, true, true});
  test_both<f16, f16>({20, 40, 128 * 8 + 32, 256, INFINITY, 0, ScaleType::float16, true, false, false, 8});
  // In float the output shows where a group's sums were folded.
  test_both<bf16, float>({5, 24, 512, 256, INFINITY, 0, ScaleType::float32, false, false, true});
}

TEST("w8a8 sm90: bias, accumulation and odd widths, thread by thread") {
  test_both<bf16, bf16>({70, 41, 96, 96, INFINITY, 0, ScaleType::bfloat16, true, true});
  test_both<f16, float>({65, 37, 64, 64, INFINITY, 0.01f, ScaleType::float32, true, false, true});
}

TEST("w8a8 sm90: several tiles in one block") {
  for (RowCode code : {RowCode::int8, RowCode::float8}) {
    W8A8Case c = {128 * 2 + 1, 130, 160, 160};
    c.code = code;
    W8A8Inputs<bf16, bf16> inputs(c);
    simt::Stream stream;
    stream.options.multiprocessors = 2;
    EXPECT(inputs.run(&stream, W8A8Form::rows64) == 0);
    const std::vector<unsigned char> expected = inputs.output.bytes();
    EXPECT(gemm_w8a8_sm90(&stream, inputs.arguments()) == 0);
    EXPECT(stream.fault == "");
    EXPECT(inputs.output.bytes() == expected);
  }
}

TEST("w8a8 sm90: what is not supported is refused") {
  W8A8Inputs<bf16, bf16> inputs({5, 16, 128, 128});
  const W8A8Arguments good = inputs.arguments();
  EXPECT(quantize_rows(nullptr, inputs.quantize()) == 0);
  EXPECT(gemm_w8a8_sm90_supports(good) && gemm_w8a8_sm90(nullptr, good) == 0);
  auto refuses = [&](auto change) {
    W8A8Arguments bad = good;
    change(bad);
    EXPECT(!gemm_w8a8_sm90_supports(bad) && gemm_w8a8_sm90(nullptr, bad) == invalid_arguments);
  };
  refuses([](W8A8Arguments& a) { a.m = 0; });
  refuses([](W8A8Arguments& a) { a.n = -1; });
  refuses([](W8A8Arguments& a) { a.k = 0; });
  refuses([](W8A8Arguments& a) { a.k = a.group = 1 << 18; });
  refuses([](W8A8Arguments& a) { a.group = 64; });
  refuses([](W8A8Arguments& a) { a.group = 0; });
  refuses([](W8A8Arguments& a) { a.threshold = 6; });
  refuses([](W8A8Arguments& a) { a.output_stride = 15; });
  refuses([](W8A8Arguments& a) { a.codes += 8; });
}

}  // namespace
}  // namespace gpu::test

// The dense matrix product with TMA and wgmma against double precision, in both forms.

#include "gemm/sm90/gemm.h"
#include "tests/gemm_inputs.h"

namespace gpu::test {
namespace {

constexpr GemmSm90Form all_forms[] = {GemmSm90Form::columns128, GemmSm90Form::columns256};

/// Both forms give the same bits, and those are near the exact product.
template <class T, class Output>
void test_gemm(const GemmCase& c) {
  GemmInputs<T, Output> inputs(c);
  std::vector<unsigned char> first, bytes;
  for (GemmSm90Form form : all_forms) {
    expect_same_bits(
        named(c) + " form " + std::to_string(int(form)),
        [&](Stream stream) {
          inputs.output.fill();
          return gemm_sm90_as(stream, form, inputs.arguments());
        },
        [&] { return bytes = inputs.output.memory.bytes(); });
    if (first.empty()) first = bytes;
    if (bytes != first) fail(__FILE__, __LINE__, named(c) + ": other bits in another form");
  }
  expect_product(inputs);
}

TEST("gemm sm90: rows, columns and depth with tails") {
  test_gemm<bf16, bf16>({1, 8, 8});
  test_gemm<f16, f16>({130, 136, 72});
  test_gemm<bf16, bf16>({64, 264, 136});
}

TEST("gemm sm90: more stages than the ring has, and several tiles a block") {
  test_gemm<bf16, bf16>({3, 16, 64 * 9 + 24, true});
  test_gemm<f16, f16>({129, 264, 72, true});
}

TEST("gemm sm90: bias, accumulation, float output and odd widths, thread by thread") {
  test_gemm<bf16, bf16>({70, 40, 32, true, true});
  test_gemm<f16, float>({65, 41, 64, true, false, true});
  test_gemm<bf16, float>({4, 40, 32, false, true, true});
  test_gemm<bf16, bf16>({66, 37, 16, true});
}

TEST("gemm sm90: rows apart") {
  test_gemm<bf16, bf16>({66, 72, 40, false, false, false, 8});
  test_gemm<f16, f16>({5, 24, 40, true, true, false, 16, 8});
}

TEST("gemm sm90: many tiles in one block, in bands") {
  GemmInputs<bf16, bf16> inputs({128 * 9 + 1, 130, 16});
  for (int multiprocessors : {1, 3, 100}) {
    inputs.output.fill();
    simt::Stream stream;
    stream.options.multiprocessors = multiprocessors;
    EXPECT(gemm_sm90(&stream, inputs.arguments()) == 0);
    EXPECT(stream.fault == "");
    expect_product(inputs);
  }
}

TEST("gemm sm90: what is not supported is refused") {
  GemmInputs<bf16, bf16> inputs({5, 16, 64});
  const GemmArguments good = inputs.arguments();
  EXPECT(gemm_sm90_supports(good) && gemm_sm90(nullptr, good) == 0);
  auto refuses = [&](auto change) {
    GemmArguments bad = good;
    change(bad);
    EXPECT(!gemm_sm90_supports(bad) && gemm_sm90(nullptr, bad) == invalid_arguments);
  };
  refuses([](GemmArguments& a) { a.m = 0; });
  refuses([](GemmArguments& a) { a.n = -1; });
  refuses([](GemmArguments& a) { a.k = 0; });
  refuses([](GemmArguments& a) { a.k = 60; });
  refuses([](GemmArguments& a) { a.input_stride = 68; });
  refuses([](GemmArguments& a) { a.weight_stride = 56; });
  refuses([](GemmArguments& a) { a.output_stride = 15; });
  refuses([](GemmArguments& a) { a.input = static_cast<const bf16*>(a.input) + 4; });
}

}  // namespace
}  // namespace gpu::test

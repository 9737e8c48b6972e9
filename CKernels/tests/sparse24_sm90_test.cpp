// The product with 2:4 sparse weights on TMA and wgmma.sp against double precision.

#include "sparse/sm90/sparse24.h"
#include "tests/sparse24_inputs.h"

namespace gpu::test {
namespace {

template <class T, class Output>
void test_sparse24(const Sparse24Case& c, bool exact = false) {
  Sparse24Inputs<T, Output> inputs(c, exact);
  expect_same_bits(
      named(c) + " sm90",
      [&](Stream stream) {
        inputs.restore_output();
        return gemm_sparse24_sm90(stream, inputs.arguments());
      },
      [&] { return inputs.output.bytes(); });
  expect_sparse_product(inputs, exact);
}

TEST("sparse24 sm90: tokens and features with tails") {
  test_sparse24<bf16, bf16>({1, 16, 128});
  test_sparse24<f16, f16>({9, 66, 256});
  test_sparse24<bf16, bf16>({130, 140, 128});
}

TEST("sparse24 sm90: more stages than the ring has") {
  test_sparse24<bf16, bf16>({3, 24, 128 * 7});
  test_sparse24<f16, f16>({5, 40, 128 * 6, 256, true});
}

TEST("sparse24 sm90: codes in groups, with zeros and without") {
  for (WeightCode code : {WeightCode::int4, WeightCode::int8}) {
    Sparse24Case c = {3, 24, 384, 128, true};
    c.code = code;
    test_sparse24<bf16, bf16>(c);
    test_sparse24<f16, f16>(c);
    c.group = 384;
    c.zeros = false;
    c.scale_type = ScaleType::float32;
    test_sparse24<bf16, bf16>(c);
  }
}

TEST("sparse24 sm90: all that an output may want, and rows apart") {
  test_sparse24<bf16, float>({6, 21, 256, 0, false, true, true, true});
  test_sparse24<f16, f16>({4, 18, 128, 128, false, true, false, false, 8});
}

TEST("sparse24 sm90: small integers and powers of two are exact") {
  test_sparse24<f16, float>({7, 40, 128 * 3, 0, false, false, false, true}, true);
  test_sparse24<bf16, float>({7, 40, 128 * 3, 128, true, false, false, true}, true);
}

TEST("sparse24 sm90: what is not supported is refused") {
  Sparse24Inputs<bf16, bf16> inputs({5, 16, 128}), coded({5, 16, 128, 128});
  EXPECT(gemm_sparse24_sm90_supports(inputs.arguments()) && gemm_sparse24_sm90_supports(coded.arguments()));
  auto refuses = [&](Sparse24Arguments bad, auto change) {
    change(bad);
    EXPECT(!gemm_sparse24_sm90_supports(bad) && gemm_sparse24_sm90(nullptr, bad) == invalid_arguments);
  };
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.m = 0; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.n = 0; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.k = 64; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.weight.metadata = nullptr; });
  refuses(coded.arguments(), [](Sparse24Arguments& a) { a.weight.codes.group = 32; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.input_stride = 132; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.output_stride = 15; });
  refuses(inputs.arguments(), [](Sparse24Arguments& a) { a.input = static_cast<const bf16*>(a.input) + 4; });
}

}  // namespace
}  // namespace gpu::test

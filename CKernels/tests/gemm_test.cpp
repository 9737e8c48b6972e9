// The dense matrix product against double precision, in every form.

#include "gemm/sm80.h"
#include "tests/gemm_inputs.h"

namespace gpu::test {
namespace {

constexpr GemmForm all_forms[] = {GemmForm::rows16, GemmForm::rows32, GemmForm::rows64, GemmForm::tile128};

template <class Inputs>
std::vector<unsigned char> run(Inputs& inputs, Stream stream, GemmForm form, Status& status) {
  inputs.output.fill();
  status = gemm_sm80_as(stream, form, inputs.arguments(), inputs.workspace());
  return inputs.output.memory.bytes();
}

/// Every form gives the same bits, and those are near the exact product.
template <class T, class Output>
void test_gemm(const GemmCase& c) {
  GemmInputs<T, Output> inputs(c);
  std::vector<unsigned char> first, bytes;
  for (GemmForm form : all_forms) {
    auto statistics = expect_same_bits(
        named(c) + " form " + std::to_string(int(form)),
        [&](Stream stream) {
          Status status = 0;
          bytes = run(inputs, stream, form, status);
          return status;
        },
        [&] { return bytes; });
    EXPECT(statistics.bank_conflicts == 0);
    if (first.empty()) first = bytes;
    if (bytes != first)
      fail(__FILE__, __LINE__, named(c) + ": other bits in form " + std::to_string(int(form)));
  }
  expect_product(inputs);
}

TEST("gemm: rows, columns and depth with tails") {
  test_gemm<bf16, bf16>({1, 8, 8});
  test_gemm<bf16, bf16>({17, 72, 64});
  test_gemm<f16, f16>({33, 66, 136});
  test_gemm<bf16, bf16>({3, 65, 72});
  test_gemm<f16, f16>({16, 64, 192});
  test_gemm<bf16, bf16>({70, 130, 24});
}

TEST("gemm: k in parts") {
  test_gemm<bf16, bf16>({5, 72, 64 * 9, true});
  test_gemm<f16, float>({18, 16, 64 * 8 + 8, true, false, true});
  test_gemm<bf16, float>({2, 33, 64 * 17 + 3, false, true, true});
}

TEST("gemm: bias, accumulation and float output") {
  test_gemm<bf16, bf16>({4, 40, 32, true, true});
  test_gemm<f16, f16>({4, 41, 32, true, false});
  test_gemm<f16, float>({4, 40, 32, false, true, true});
  test_gemm<bf16, float>({4, 41, 32, true, true, true});
}

TEST("gemm: rows apart, and addresses that allow no vectors") {
  test_gemm<bf16, bf16>({5, 24, 40, false, false, false, 8});
  test_gemm<bf16, bf16>({5, 24, 40, true, true, false, 3});
  test_gemm<f16, float>({5, 23, 37, false, false, true, 0, 1});
  test_gemm<f16, f16>({20, 31, 33, true, true, false, 1, 1});
  // Aligned rows, and a width that is no multiple of 8.
  test_gemm<bf16, bf16>({5, 24, 37, false, false, false, 3});
}

TEST("gemm: nothing to do, and nothing to sum") {
  test_gemm<bf16, bf16>({0, 8, 8});
  test_gemm<bf16, bf16>({8, 0, 8});
  test_gemm<bf16, bf16>({3, 10, 0, true});
  test_gemm<f16, float>({3, 10, 0, true, true, true});
  test_gemm<f16, f16>({3, 10, 0});
}

TEST("gemm: small integers are exact") {
  GemmCase c = {20, 24, 64 * 9};
  c.float_output = true;
  GemmInputs<f16, float> inputs(c);
  simt::Random random(31);
  for (auto* matrix : {&inputs.input, &inputs.weight}) {
    for (f16& value : matrix->values) value = from_float<f16>(float(random.below(15)) - 7);
    matrix->fill();
  }
  for (GemmForm form : all_forms) {
    Status status = 0;
    simt::Stream stream;
    run(inputs, &stream, form, status);
    EXPECT(status == 0);
    for (int row = 0; row < c.m; ++row) {
      for (int column = 0; column < c.n; ++column) {
        float sum = 0;
        for (int k = 0; k < c.k; ++k)
          sum += to_float(inputs.input.at(row, k)) * to_float(inputs.weight.at(column, k));
        EXPECT(inputs.output.at(row, column) == sum);
      }
    }
  }
}

TEST("gemm: a row's bits do not depend on the other rows") {
  GemmCase many = {70, 40, 64 * 9}, one = {1, 40, 64 * 9};
  GemmInputs<bf16, bf16> all(many), alone(one);
  simt::Stream stream;
  Status status = 0;
  run(all, &stream, GemmForm::rows64, status);
  EXPECT(status == 0);
  for (int row : {0, 9, 69}) {
    for (int k = 0; k < one.k; ++k) alone.input.at(0, k) = all.input.at(row, k);
    EXPECT(gemm_sm80(&stream, alone.arguments(), {alone.partials.data(), int64_t(alone.partials.size())}) ==
           0);
    for (int column = 0; column < one.n; ++column) {
      EXPECT(alone.output.at(0, column).bits == all.output.at(row, column).bits);
    }
  }
}

TEST("gemm: what cannot be computed is refused") {
  GemmInputs<bf16, bf16> inputs({5, 16, 64 * 8});
  const GemmArguments good = inputs.arguments();
  const int64_t floats = gemm_workspace_floats(5, 16, 64 * 8);
  EXPECT(floats == 2 * 5 * 16 && floats <= gemm_workspace_most(16, 64 * 8));
  GemmWorkspace workspace = {inputs.partials.data(), floats};
  EXPECT(gemm_sm80(nullptr, good, workspace) == 0);
  EXPECT(gemm_sm80(nullptr, good, {inputs.partials.data(), floats - 1}) == invalid_arguments);
  EXPECT(gemm_sm80(nullptr, good, {nullptr, floats}) == invalid_arguments);
  auto refuses = [&](auto change) {
    GemmArguments bad = good;
    change(bad);
    EXPECT(gemm_sm80(nullptr, bad, workspace) == invalid_arguments);
  };
  refuses([](GemmArguments& a) { a.m = -1; });
  refuses([](GemmArguments& a) { a.n = -1; });
  refuses([](GemmArguments& a) { a.k = -1; });
  refuses([](GemmArguments& a) { a.input_stride = a.k - 1; });
  refuses([](GemmArguments& a) { a.weight_stride = a.k - 1; });
  refuses([](GemmArguments& a) { a.output_stride = a.n - 1; });
  refuses([](GemmArguments& a) { a.n = 65535 * 128 + 1, a.output_stride = a.n; });
}

TEST("gemm: the workspace for any number of rows holds that of each") {
  for (int n : {1, 64, 1000, 4096, 28672}) {
    for (int k : {0, 64, 4096, 14336}) {
      int64_t most = gemm_workspace_most(n, k);
      for (int m : {1, 16, 64, 65, 256, 257, 4096}) EXPECT(gemm_workspace_floats(m, n, k) <= most);
    }
  }
}

}  // namespace
}  // namespace gpu::test

// The dense matrix product against double precision, in every form.

#include "gemm/sm80.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

constexpr GemmForm all_forms[] = {GemmForm::rows16, GemmForm::rows32, GemmForm::rows64, GemmForm::tile128};

struct GemmCase {
  int m, n, k;
  bool bias = false;
  bool accumulate = false;
  bool float_output = false;
  /// Elements between the end of a row and the next, and before the first.
  int padding = 0;
  int offset = 0;
};

std::string named(const GemmCase& c) {
  return "gemm " + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         (c.bias ? " bias" : "") + (c.accumulate ? " accumulate" : "") + (c.float_output ? " float" : "") +
         (c.padding ? " padded" : "") + (c.offset ? " unaligned" : "");
}

/// A matrix whose rows lie apart: what lies between them is NaN, and must stay so.
template <class T>
struct Strided {
  Strided(const char* name, int rows, int columns, const GemmCase& c, const std::vector<T>& values)
      : columns(columns),
        stride(columns + c.padding),
        offset(c.offset),
        memory(name, size_t(c.offset) + size_t(rows) * size_t(stride)),
        values(values) {
    fill();
  }
  void fill() {
    std::memset(static_cast<void*>(memory.data()), 0xff, memory.size() * sizeof(T));
    for (size_t i = 0; i < values.size(); ++i) at(int(i) / columns, int(i) % columns) = values[i];
  }
  T& at(int row, int column) {
    return memory[size_t(offset) + size_t(row) * size_t(stride) + size_t(column)];
  }
  T* data() { return memory.data() + offset; }

  int columns;
  int stride;
  int offset;
  DeviceArray<T> memory;
  std::vector<T> values;
};

template <class T, class Output>
struct GemmInputs {
  explicit GemmInputs(const GemmCase& c)
      : shape(c),
        input("input", c.m, c.k, c, random_values<T>(size_t(c.m) * size_t(c.k), 21, 2.0f)),
        weight("weight", c.n, c.k, c, random_values<T>(size_t(c.n) * size_t(c.k), 22)),
        output("output", c.m, c.n, c, random_values<Output>(size_t(c.m) * size_t(c.n), 23, 3.0f)),
        bias("bias", random_values<float>(size_t(c.n), 24)),
        partials("partials", size_t(gemm_workspace_most(c.n, c.k) / 256 * c.m)) {}

  GemmArguments arguments() {
    return {element_type<T>,   shape.m,       shape.n,
            shape.k,           input.data(),  input.stride,
            weight.data(),     weight.stride, shape.bias ? bias.data() : nullptr,
            output.data(),     output.stride, shape.accumulate,
            shape.float_output};
  }
  std::vector<unsigned char> run(Stream stream, GemmForm form, Status& status) {
    output.fill();
    status = gemm_sm80_as(stream, form, arguments(), {partials.data(), int64_t(partials.size())});
    return output.memory.bytes();
  }

  GemmCase shape;
  Strided<T> input, weight;
  Strided<Output> output;
  DeviceArray<float> bias, partials;
};

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
          bytes = inputs.run(stream, form, status);
          return status;
        },
        [&] { return bytes; });
    EXPECT(statistics.bank_conflicts == 0);
    if (first.empty()) first = bytes;
    if (bytes != first)
      fail(__FILE__, __LINE__, named(c) + ": other bits in form " + std::to_string(int(form)));
  }
  // Rounding to the output's type, and k roundings of a sum.
  const double output_error = std::is_same_v<Output, float> ? 0x1p-24 : rounding<T>;
  const double sum_error = (c.k + 4) * 0x1p-24;
  for (int row = 0; row < c.m; ++row) {
    for (int column = 0; column < c.n; ++column) {
      double sum = 0, magnitude = 0;
      auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int k = 0; k < c.k; ++k)
        add(double(to_float(inputs.input.at(row, k))) * to_float(inputs.weight.at(column, k)));
      if (c.bias) add(inputs.bias[size_t(column)]);
      if (c.accumulate) add(to_float(inputs.output.values[size_t(row) * size_t(c.n) + size_t(column)]));
      double value = to_float(inputs.output.at(row, column));
      double bound = output_error * std::abs(sum) + sum_error * magnitude + smallest_step<T>;
      if (std::abs(value - sum) <= bound) continue;
      char text[160];
      std::snprintf(text, sizeof text, "%s: (%d, %d) is %.9g, expected %.9g within %.3g", named(c).c_str(),
                    row, column, value, sum, bound);
      return fail(__FILE__, __LINE__, text);
    }
  }
  // What lies between the rows is as it was.
  for (size_t i = 0; i < inputs.output.memory.size(); ++i) {
    int column = i < size_t(c.offset) ? c.n : int(i - size_t(c.offset)) % inputs.output.stride;
    if (column >= c.n) EXPECT(std::isnan(to_float(inputs.output.memory[i])));
  }
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
    inputs.run(&stream, form, status);
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
  all.run(&stream, GemmForm::rows64, status);
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

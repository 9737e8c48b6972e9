// Low-rank updates of several adapters against double precision.

#include "gemm/lora.h"

#include <memory>

#include "tests/gemm_inputs.h"

namespace gpu::test {
namespace {

struct LoraCase {
  /// Rows and rank of each run; rank 0 for rows without an adapter.
  std::vector<std::pair<int, int>> runs;
  int n, k;
  /// Elements between rows, and before the first.
  int padding = 0;
  int offset = 0;
};

template <class T>
struct LoraInputs {
  explicit LoraInputs(const LoraCase& c) : shape(c), layout{rows_of(c), c.n, c.k} {
    layout.padding = c.padding;
    layout.offset = c.offset;
    const size_t m = size_t(layout.m);
    input = std::make_unique<Strided<T>>("input", layout.m, c.k, layout,
                                         random_values<T>(m * size_t(c.k), 41, 2.0f));
    int first = 0, widest = 16;
    uint64_t seed = 50;
    for (auto [rows, rank] : c.runs) {
      if (rank > 0) {
        const size_t r = size_t(rank);
        downs.push_back(std::make_unique<DeviceArray<T>>("down", random_values<T>(r * size_t(c.k), ++seed)));
        ups.push_back(std::make_unique<DeviceArray<T>>("up", random_values<T>(size_t(c.n) * r, ++seed)));
        runs.push_back({downs.back()->data(), ups.back()->data(), first, first + rows, rank, scale(rank)});
        widest = std::max(widest, rank);
      }
      first += rows;
    }
    shrunk_stride = widest + 8;
    shrunk = std::make_unique<DeviceArray<T>>("shrunk", m * size_t(shrunk_stride));
  }

  static int rows_of(const LoraCase& c) {
    int rows = 0;
    for (auto [count, rank] : c.runs) rows += count;
    return rows;
  }
  static float scale(int rank) { return 0.75f + 3.0f / float(rank); }

  template <class Output>
  LoraArguments arguments(Strided<Output>& output) {
    return {element_type<T>,
            layout.m,
            shape.n,
            shape.k,
            input->data(),
            input->stride,
            shrunk->data(),
            shrunk_stride,
            output.data(),
            output.stride,
            std::is_same_v<Output, float>,
            runs.data(),
            int(runs.size())};
  }

  LoraCase shape;
  GemmCase layout;
  int64_t shrunk_stride = 0;
  std::unique_ptr<Strided<T>> input;
  std::unique_ptr<DeviceArray<T>> shrunk;
  std::vector<std::unique_ptr<DeviceArray<T>>> downs, ups;
  std::vector<LoraRun> runs;
};

/// Each component of the shrunk row has an error of k roundings of a sum and one to its type, which the other
/// matrix carries on; the output is rounded once.
template <class T, class Output>
void test_lora(const LoraCase& c) {
  LoraInputs<T> inputs(c);
  const int m = inputs.layout.m;
  Strided<Output> output("output", m, c.n, inputs.layout,
                         random_values<Output>(size_t(m) * size_t(c.n), 43, 3.0f));
  std::vector<unsigned char> bytes;
  const std::string what = "lora of " + std::to_string(c.runs.size()) + " runs, " + std::to_string(c.k) +
                           " to " + std::to_string(c.n);
  auto statistics = expect_same_bits(
      what,
      [&](Stream stream) {
        output.fill();
        return lora(stream, inputs.arguments(output));
      },
      [&] { return output.memory.bytes(); });
  EXPECT(statistics.bank_conflicts == 0);
  const double output_error = std::is_same_v<Output, float> ? 0x1p-24 : rounding<T>;
  std::vector<bool> has_run(size_t(m), false);
  for (const LoraRun& run : inputs.runs) {
    const T* down = static_cast<const T*>(run.down);
    const T* up = static_cast<const T*>(run.up);
    for (int row = run.first; row < run.end; ++row) {
      has_run[size_t(row)] = true;
      std::vector<double> shrunk(size_t(run.rank), 0.0), error(size_t(run.rank), 0.0);
      for (int r = 0; r < run.rank; ++r) {
        double magnitude = 0;
        for (int k = 0; k < c.k; ++k) {
          double term = double(to_float(inputs.input->at(row, k))) *
                        to_float(down[size_t(r) * size_t(c.k) + size_t(k)]);
          shrunk[size_t(r)] += term;
          magnitude += std::abs(term);
        }
        shrunk[size_t(r)] *= run.scale;
        error[size_t(r)] = (c.k + 6) * 0x1p-24 * magnitude * run.scale +
                           rounding<T> * std::abs(shrunk[size_t(r)]) + smallest_step<T>;
      }
      for (int column = 0; column < c.n; ++column) {
        double base = to_float(output.values[size_t(row) * size_t(c.n) + size_t(column)]);
        double sum = base, magnitude = std::abs(base), carried = 0;
        for (int r = 0; r < run.rank; ++r) {
          double weight = to_float(up[size_t(column) * size_t(run.rank) + size_t(r)]);
          sum += shrunk[size_t(r)] * weight;
          magnitude += std::abs(shrunk[size_t(r)] * weight);
          carried += error[size_t(r)] * std::abs(weight);
        }
        double bound = carried + (run.rank + 4) * 0x1p-24 * (magnitude + carried) +
                       output_error * (std::abs(sum) + carried) + smallest_step<T>;
        double value = to_float(output.at(row, column));
        if (std::abs(value - sum) <= bound) continue;
        char text[160];
        std::snprintf(text, sizeof text, "%s: (%d, %d) is %.9g, expected %.9g within %.3g", what.c_str(), row,
                      column, value, sum, bound);
        return fail(__FILE__, __LINE__, text);
      }
    }
  }
  // Rows without an adapter, and what lies between rows, are as they were.
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < c.n && !has_run[size_t(row)]; ++column) {
      EXPECT(to_float(output.at(row, column)) ==
             to_float(output.values[size_t(row) * size_t(c.n) + size_t(column)]));
    }
  }
  for (size_t i = 0; i < output.memory.size(); ++i) {
    int column = i < size_t(c.offset) ? c.n : int(i - size_t(c.offset)) % output.stride;
    if (column >= c.n) EXPECT(std::isnan(to_float(output.memory[i])));
  }
}

TEST("lora: one adapter, rows and columns with tails, ranks of one step and of several tiles") {
  for (int rank : {16, 48, 64, 80, 256}) test_lora<bf16, bf16>({{{5, rank}}, 72, 136});
  test_lora<f16, f16>({{{17, 16}}, 64, 64});
  test_lora<bf16, float>({{{16, 32}}, 65, 320});
  test_lora<f16, float>({{{1, 16}}, 3, 8});
}

TEST("lora: many adapters, of several ranks, beside rows without one and runs without a row") {
  test_lora<bf16, bf16>({{{3, 0}, {20, 16}, {1, 64}, {0, 32}, {2, 0}, {33, 32}, {1, 16}}, 40, 72});
  LoraCase many = {{}, 16, 64};
  for (int i = 0; i < 2 * most_lora_runs + 3; ++i) many.runs.push_back({1 + i % 2, 16 * (1 + i % 3)});
  test_lora<f16, f16>(many);
}

TEST("lora: rows apart, and addresses that allow no vectors") {
  test_lora<bf16, bf16>({{{4, 16}, {3, 32}}, 24, 40, 8});
  test_lora<bf16, bf16>({{{4, 16}, {3, 32}}, 23, 37, 3, 1});
  test_lora<f16, float>({{{18, 32}}, 31, 33, 1, 1});
}

TEST("lora: nothing to do, and nothing to sum") {
  test_lora<bf16, bf16>({{{4, 0}}, 8, 8});
  test_lora<bf16, bf16>({{{4, 16}}, 0, 8});
  test_lora<bf16, bf16>({{{4, 16}}, 8, 0});
}

TEST("lora gives a row the same bits alone and among others") {
  LoraInputs<bf16> inputs({{{7, 32}, {21, 48}, {3, 16}}, 40, 200});
  const int m = inputs.layout.m;
  Strided<bf16> output("output", m, 40, inputs.layout, random_values<bf16>(size_t(m) * 40, 44));
  auto run = [&](const std::vector<LoraRun>& runs) {
    LoraArguments arguments = inputs.arguments(output);
    arguments.runs = runs.data(), arguments.run_count = int(runs.size());
    simt::Stream stream;
    EXPECT(lora(&stream, arguments) == 0);
  };
  run(inputs.runs);
  const std::vector<unsigned char> together = output.memory.bytes();
  output.fill();
  for (const LoraRun& all : inputs.runs) {
    for (int row = all.end - 1; row >= all.first; --row) {
      LoraRun one = all;
      one.first = row, one.end = row + 1;
      run({one});
    }
  }
  EXPECT(output.memory.bytes() == together);
}

TEST("lora: what means nothing is refused") {
  LoraInputs<bf16> inputs({{{4, 16}}, 8, 8});
  Strided<bf16> output("output", 4, 8, inputs.layout, random_values<bf16>(32, 45));
  auto refuses = [&](auto change) {
    LoraArguments bad = inputs.arguments(output);
    LoraRun one = inputs.runs[0];
    bad.runs = &one;
    change(bad, one);
    EXPECT(lora(nullptr, bad) == invalid_arguments);
  };
  refuses([](auto& a, auto&) { a.m = -1; });
  refuses([](auto& a, auto&) { a.n = -1; });
  refuses([](auto& a, auto&) { a.k = -1; });
  refuses([](auto& a, auto&) { a.run_count = -1; });
  refuses([](auto& a, auto&) { a.input_stride = 7; });
  refuses([](auto& a, auto&) { a.output_stride = 7; });
  refuses([](auto& a, auto&) { a.shrunk_stride = 20; });
  refuses([](auto& a, auto&) { a.shrunk_stride = 8; });
  refuses([](auto& a, auto&) { a.shrunk = static_cast<bf16*>(a.shrunk) + 1; });
  refuses([](auto&, auto& run) { run.rank = 8; });
  refuses([](auto&, auto& run) { run.rank = 0; });
  refuses([](auto&, auto& run) { run.first = -1; });
  refuses([](auto&, auto& run) { run.end = 5; });
  refuses([](auto&, auto& run) { run.first = 3, run.end = 2; });
  refuses([](auto&, auto& run) { run.up = static_cast<const bf16*>(run.up) + 1; });
}

}  // namespace
}  // namespace gpu::test

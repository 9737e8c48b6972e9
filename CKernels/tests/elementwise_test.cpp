// The row-wise kernels against plain loops in double precision.

#include "tests/support.h"

namespace gpu::test {
namespace {

/// Rows and widths: one element, tails of a vector, of a warp and of a block, more than one round of a block.
struct Extent {
  int rows;
  int width;
};
constexpr Extent extents[] = {{1, 8}, {3, 1}, {2, 33}, {5, 64}, {2, 300}, {3, 2056}, {1, 4104}, {0, 64}};

std::string named(const char* what, Extent extent) {
  return std::string(what) + " " + std::to_string(extent.rows) + "x" + std::to_string(extent.width);
}

template <class T>
std::vector<double> doubles(const std::vector<T>& values) {
  std::vector<double> result;
  for (T value : values) result.push_back(to_float(value));
  return result;
}

template <class T>
void test_norm(bool rms, bool adds, bool has_bias, Extent extent) {
  const size_t count = size_t(extent.rows) * size_t(extent.width);
  // Small rows too, in which epsilon counts.
  const float scale = extent.rows == 2 ? 0.004f : 2.0f;
  auto residual_values = random_values<T>(count, 1, scale);
  auto input_values = random_values<T>(count, 2, scale);
  DeviceArray<T> residual("residual", count), input("input", input_values), output("output", count);
  DeviceArray<T> weight("weight", random_values<T>(size_t(extent.width), 3));
  DeviceArray<T> bias("bias", random_values<T>(size_t(extent.width), 4));
  NormArguments arguments = {element_type<T>,
                             extent.rows,
                             extent.width,
                             residual.data(),
                             adds ? input.data() : nullptr,
                             weight.data(),
                             has_bias ? bias.data() : nullptr,
                             output.data(),
                             1e-5f};
  std::string what = named(rms ? "rms_norm" : "layer_norm", extent);
  expect_same_bits(
      what,
      [&](Stream stream) {
        if (count) std::memcpy(residual.data(), residual_values.data(), count * sizeof(T));
        return rms ? rms_norm(stream, arguments) : layer_norm(stream, arguments);
      },
      [&] { return output.bytes(); });

  std::vector<double> expected(count), bound(count);
  for (int row = 0; row < extent.rows; ++row) {
    const size_t start = size_t(row) * size_t(extent.width);
    double mean = 0, squares = 0, size = extent.width;
    std::vector<double> x;
    for (size_t i = 0; i < size_t(extent.width); ++i) {
      float sum = to_float(residual_values[start + i]);
      if (adds) sum = to_float(from_float<T>(sum + to_float(input_values[start + i])));
      x.push_back(sum);
      if (to_float(residual[start + i]) != sum) EXPECT(!"the residual is the rounded sum");
    }
    for (double value : x) mean += rms ? 0 : value / size;
    for (double value : x) squares += (value - mean) * (value - mean) / size;
    for (size_t i = 0; i < size_t(extent.width); ++i) {
      double product = (x[i] - mean) / std::sqrt(squares + 1e-5) * to_float(weight[i]);
      double shift = has_bias ? to_float(bias[i]) : 0;
      expected[start + i] = product + shift;
      bound[start + i] = rounding<T> * std::abs(expected[start + i]) +
                         2e-6 * (std::abs(product) + std::abs(shift) + 1) + smallest_step<T>;
    }
  }
  expect_close(what, output, expected, bound);
}

TEST("rms norm adds the residual and normalises") {
  for (Extent extent : extents) {
    for (bool adds : {false, true}) {
      test_norm<bf16>(true, adds, false, extent);
      test_norm<f16>(true, adds, false, extent);
    }
  }
}

TEST("layer norm adds the residual and normalises, with and without bias") {
  for (Extent extent : extents) {
    for (bool adds : {false, true}) {
      test_norm<bf16>(false, adds, true, extent);
      test_norm<f16>(false, adds, !adds, extent);
    }
  }
}

template <class T>
void test_rope(RotaryPairing pairing, int tokens, int query_heads, int key_heads, int dimension, int rotary) {
  const size_t query_count = size_t(tokens * query_heads * dimension);
  const size_t key_count = size_t(tokens * key_heads * dimension);
  const int positions = 11;
  auto query_values = random_values<T>(query_count, 1), key_values = random_values<T>(key_count, 2);
  DeviceArray<T> query("query", query_count), key("key", key_count);
  std::vector<float> table_values;
  for (int position = 0; position < positions; ++position) {
    for (int i = 0; i < rotary; ++i) {
      double angle = position * std::pow(10000.0, -2.0 * (i % (rotary / 2)) / rotary);
      table_values.push_back(float(i < rotary / 2 ? std::cos(angle) : std::sin(angle)));
    }
  }
  DeviceArray<float> table("table", table_values);
  std::vector<int32_t> position_values;
  for (int token = 0; token < tokens; ++token) position_values.push_back((token * 7 + 3) % positions);
  DeviceArray<int32_t> position("positions", position_values);
  RopeArguments arguments = {element_type<T>, pairing,         tokens,      query_heads,
                             key_heads,       dimension,       rotary,      query.data(),
                             key.data(),      position.data(), table.data()};
  expect_same_bits(
      "rope",
      [&](Stream stream) {
        std::memcpy(query.data(), query_values.data(), query_count * sizeof(T));
        std::memcpy(key.data(), key_values.data(), key_count * sizeof(T));
        return rope(stream, arguments);
      },
      [&] {
        auto bytes = query.bytes(), more = key.bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
        return bytes;
      });

  auto check = [&](DeviceArray<T>& output, const std::vector<double>& input, int heads) {
    std::vector<double> expected = input, bound(input.size(), 0);
    for (int token = 0; token < tokens; ++token) {
      const float* row = &table_values[size_t(position_values[size_t(token)] * rotary)];
      for (int head = 0; head < heads; ++head) {
        const size_t start = size_t((token * heads + head) * dimension);
        for (int pair = 0; pair < rotary / 2; ++pair) {
          bool halves = pairing == RotaryPairing::halves;
          size_t first = start + size_t(halves ? pair : 2 * pair);
          size_t second = start + size_t(halves ? pair + rotary / 2 : 2 * pair + 1);
          double cosine = row[pair], sine = row[rotary / 2 + pair];
          expected[first] = input[first] * cosine - input[second] * sine;
          expected[second] = input[second] * cosine + input[first] * sine;
          for (size_t i : {first, second}) {
            bound[i] = rounding<T> * std::abs(expected[i]) + 1e-6 + smallest_step<T>;
          }
        }
      }
    }
    expect_close("rope", output, expected, bound);
  };
  check(query, doubles(query_values), query_heads);
  check(key, doubles(key_values), key_heads);
}

TEST("rope rotates the leading components of each head by its token's position") {
  for (RotaryPairing pairing : {RotaryPairing::halves, RotaryPairing::interleaved}) {
    test_rope<bf16>(pairing, 5, 4, 2, 64, 64);
    test_rope<f16>(pairing, 3, 3, 3, 80, 32);
    test_rope<bf16>(pairing, 1, 1, 1, 2, 2);
  }
}

double activated(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return x / (1 + std::exp(-x));
    case ActivationKind::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case ActivationKind::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationKind::relu:
      return std::max(x, 0.0);
  }
  return NAN;
}

/// `fused`: gate and up are the halves of one matrix of twice the width.
template <class T>
void test_activation(ActivationKind kind, bool gated, bool fused, Extent extent) {
  const int stride = fused ? 2 * extent.width : extent.width;
  const size_t count = size_t(extent.rows) * size_t(extent.width);
  auto values = random_values<T>(size_t(extent.rows) * size_t(stride), 5, 12.0f);
  auto up_values = random_values<T>(size_t(extent.rows) * size_t(stride), 6, 2.0f);
  // Where the exponential overflows, and where it vanishes.
  if (!values.empty()) values[0] = from_float<T>(-200.0f);
  if (!values.empty()) values[1] = from_float<T>(200.0f);
  DeviceArray<T> gate("gate", values), separate_up("up", up_values), output("output", count);
  const T* up = !gated ? nullptr : fused ? gate.data() + extent.width : separate_up.data();
  ActivationArguments arguments = {element_type<T>, kind, extent.rows, extent.width,
                                   gate.data(),     up,   stride,      output.data()};
  std::string what = named("activation", extent);
  expect_same_bits(
      what, [&](Stream stream) { return activation(stream, arguments); }, [&] { return output.bytes(); });
  std::vector<double> expected(count), bound(count);
  for (size_t i = 0; i < count; ++i) {
    size_t source = i / size_t(extent.width) * size_t(stride) + i % size_t(extent.width);
    double x = to_float(gate[source]), factor = gated ? to_float(up[source]) : 1.0;
    expected[i] = activated(kind, x) * factor;
    // 1 + erf and 1 + tanh cancel for negative x: the error is one of float, relative to x.
    bound[i] = rounding<T> * std::abs(expected[i]) + 1e-6 * std::abs(x * factor) + smallest_step<T>;
  }
  expect_close(what, output, expected, bound);
}

TEST("activations with and without the other half of a gated unit") {
  for (ActivationKind kind :
       {ActivationKind::silu, ActivationKind::gelu, ActivationKind::gelu_tanh, ActivationKind::relu}) {
    for (Extent extent : {Extent{3, 40}, Extent{2, 1032}, Extent{5, 7}, Extent{0, 8}}) {
      test_activation<bf16>(kind, true, true, extent);
      test_activation<f16>(kind, true, false, extent);
      test_activation<bf16>(kind, false, false, extent);
    }
  }
}

TEST("rows that are not aligned to 16 bytes go element by element") {
  const int width = 24;
  auto values = random_values<bf16>(2 * width + 1, 9, 3.0f);
  DeviceArray<bf16> aligned("aligned", values), output("output", 2 * width + 1);
  ActivationArguments arguments = {
      ElementType::bfloat16, ActivationKind::relu, 2, width, aligned.data() + 1, nullptr, width,
      output.data()};
  expect_same_bits(
      "misaligned input", [&](Stream stream) { return activation(stream, arguments); },
      [&] { return output.bytes(); });
  for (size_t i = 0; i < 2 * width; ++i) {
    EXPECT(to_float(output[i]) == std::max(0.0f, to_float(values[i + 1])));
  }
  arguments.gate = aligned.data();
  arguments.output = output.data() + 1;
  expect_same_bits(
      "misaligned output", [&](Stream stream) { return activation(stream, arguments); },
      [&] { return output.bytes(); });
  for (size_t i = 0; i < 2 * width; ++i)
    EXPECT(to_float(output[i + 1]) == std::max(0.0f, to_float(values[i])));
}

template <class T>
void test_add(size_t count) {
  auto values = random_values<T>(count, 1, 3.0f), addends = random_values<T>(count, 2);
  DeviceArray<T> accumulator("accumulator", count), input("input", addends);
  AddArguments arguments = {element_type<T>, int64_t(count), accumulator.data(), input.data()};
  expect_same_bits(
      "add",
      [&](Stream stream) {
        if (count) std::memcpy(accumulator.data(), values.data(), count * sizeof(T));
        return add(stream, arguments);
      },
      [&] { return accumulator.bytes(); });
  for (size_t i = 0; i < count; ++i) {
    EXPECT(accumulator[i].bits == from_float<T>(to_float(values[i]) + to_float(addends[i])).bits);
  }
}

TEST("adding rounds once") {
  for (size_t count : {0, 1, 7, 8, 1024, 1032, 2500}) {
    test_add<bf16>(count);
    test_add<f16>(count);
  }
  EXPECT(add(nullptr, {ElementType::bfloat16, -1, nullptr, nullptr}) == invalid_arguments);
  EXPECT(add(nullptr, {ElementType::bfloat16, INT64_MAX, nullptr, nullptr}) == invalid_arguments);
}

template <class T>
void test_embedding(int tokens, int width, bool has_positions) {
  const int rows = 9;
  DeviceArray<T> table("table", random_values<T>(size_t(rows * width), 1));
  DeviceArray<T> positions("position table", random_values<T>(size_t(rows * width), 2));
  DeviceArray<T> output("output", size_t(tokens * width));
  std::vector<int32_t> ids, places;
  for (int token = 0; token < tokens; ++token) {
    ids.push_back((token * 5 + 8) % rows);
    places.push_back(token % rows);
  }
  DeviceArray<int32_t> id("ids", ids), place("positions", places);
  EmbeddingArguments arguments = {element_type<T>,
                                  tokens,
                                  width,
                                  id.data(),
                                  table.data(),
                                  has_positions ? place.data() : nullptr,
                                  has_positions ? positions.data() : nullptr,
                                  output.data()};
  expect_same_bits(
      "embedding", [&](Stream stream) { return embedding(stream, arguments); },
      [&] { return output.bytes(); });
  for (int i = 0; i < tokens * width; ++i) {
    float expected = to_float(table[size_t(ids[size_t(i / width)] * width + i % width)]);
    if (has_positions) expected += to_float(positions[size_t(places[size_t(i / width)] * width + i % width)]);
    EXPECT(to_float(output[size_t(i)]) == to_float(from_float<T>(expected)));
  }
}

TEST("embedding gathers rows and adds learned positions") {
  for (bool has_positions : {false, true}) {
    test_embedding<bf16>(12, 64, has_positions);
    test_embedding<f16>(3, 1100, has_positions);
    test_embedding<bf16>(0, 8, has_positions);
    test_embedding<f16>(4, 3, has_positions);
    test_embedding<bf16>(5, 7, has_positions);
    test_embedding<f16>(2, 64, has_positions);
  }
}

void test_append(int heads, int dimension) {
  const std::vector<int32_t> slots = {17, -1, 63, 0, 47};
  const int row = heads * dimension, blocks = 4;
  auto keys = random_values<bf16>(slots.size() * size_t(row), 1);
  auto values = random_values<bf16>(slots.size() * size_t(row), 2);
  DeviceArray<bf16> key("key", keys), value("value", values), cache("cache", size_t(blocks * 2 * row * 16));
  DeviceArray<int32_t> slot("slots", slots);
  AppendArguments arguments = {ElementType::bfloat16, int(slots.size()), heads,       dimension, key.data(),
                               value.data(),          slot.data(),       cache.data()};
  expect_same_bits(
      "append_kv", [&](Stream stream) { return append_kv(stream, arguments); },
      [&] { return cache.bytes(); });
  std::vector<uint16_t> expected(cache.size(), 0xffff);
  for (size_t token = 0; token < slots.size(); ++token) {
    if (slots[token] < 0) continue;
    for (int i = 0; i < row; ++i) {
      int head = i / dimension, component = i % dimension;
      for (int part : {0, 1}) {
        int place = (((slots[token] / 16 * 2 + part) * heads + head) * 16 + slots[token] % 16) * dimension +
                    component;
        expected[size_t(place)] = (part ? values : keys)[token * size_t(row) + size_t(i)].bits;
      }
    }
  }
  for (size_t i = 0; i < expected.size(); ++i) EXPECT(cache[i].bits == expected[i]);
}

TEST("appending writes keys and values into their slots and skips slot -1") {
  test_append(2, 64);
  test_append(3, 80);
  test_append(1, 3);
}

}  // namespace
}  // namespace gpu::test

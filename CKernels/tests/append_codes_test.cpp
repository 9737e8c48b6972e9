// Keys and values into a cache of 8-bit codes, against a search for the nearest code.

#include <algorithm>
#include <cmath>

#include "tests/support.h"

namespace gpu::test {
namespace {

/// The number of an E4M3 code, by the definition.
double float8_number(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
  return code & 128 ? -size : size;
}

/// The nearest code, of two the even one.
int nearest_float8(double value) {
  int best = 0;
  for (int code = 0; code < 127; ++code) {
    const double here = std::abs(float8_number(code) - std::abs(value));
    const double there = std::abs(float8_number(best) - std::abs(value));
    if (here < there || (here == there && code % 2 == 0)) best = code;
  }
  return std::signbit(value) ? best | 128 : best;
}

struct AppendCase {
  int tokens, heads, dimension;
  int padding = 0;
  /// Multiplies the values of head h by 2^(−spread · h).
  int spread = 0;
};

template <class T>
void test_append(const AppendCase& c, CacheCodes kind) {
  const int width = c.heads * c.dimension, stride = width + c.padding;
  const int pages = (c.tokens + 15) / 16 + 2;
  const size_t record = size_t(16 * (c.dimension + 4));
  DeviceArray<T> key("key", random_values<T>(size_t(c.tokens * stride), 41, 3.0f));
  DeviceArray<T> value("value", random_values<T>(size_t(c.tokens * stride), 42));
  for (int token = 0; token < c.tokens; ++token) {
    for (int i = 0; i < width; ++i) {
      T& element = key[size_t(token * stride + i)];
      // Some are so small beside the largest one that E4M3 has only its subnormal codes for them.
      const int smaller = i % 7 == 3 ? 14 : 0;
      element = from_float<T>(std::ldexp(to_float(element), -c.spread * (i / c.dimension) - smaller));
    }
  }
  // A head of nothing, and one that is not finite.
  if (c.tokens > 1) {
    for (int i = 0; i < c.dimension; ++i) key[size_t(stride + i)] = from_float<T>(0.0f);
    value[size_t(stride + c.dimension - 1)] = from_float<T>(INFINITY);
  }
  simt::Random random(43);
  std::vector<int32_t> slots;
  for (int i = 0; i < pages * 16; ++i) slots.push_back(i);
  for (size_t i = slots.size(); i > 1; --i) std::swap(slots[i - 1], slots[random.below(uint32_t(i))]);
  slots.resize(size_t(c.tokens));
  if (c.tokens > 2) slots[2] = -1;
  DeviceArray<int32_t> device_slots("slots", slots);
  DeviceArray<unsigned char> cache("cache", size_t(pages * 2 * c.heads) * record);
  std::memset(cache.data(), 0xee, cache.size());
  AppendArguments arguments = {
      element_type<T>,     c.tokens,     c.heads, c.dimension, key.data(), value.data(),
      device_slots.data(), cache.data(), stride,  stride,      kind};
  const std::string what = "append codes " + std::to_string(c.tokens) + "x" + std::to_string(c.heads) + "x" +
                           std::to_string(c.dimension) + (kind == CacheCodes::int8 ? " int8" : " float8");
  expect_same_bits(
      what, [&](Stream stream) { return append_codes(stream, arguments); }, [&] { return cache.bytes(); });

  std::vector<unsigned char> expected(cache.size(), 0xee);
  for (int token = 0; token < c.tokens; ++token) {
    if (slots[size_t(token)] < 0) continue;
    const int page = slots[size_t(token)] / 16, place = slots[size_t(token)] % 16;
    for (int row = 0; row < 2 * c.heads; ++row) {
      DeviceArray<T>& from = row < c.heads ? key : value;
      const size_t start = size_t(token * stride + row % c.heads * c.dimension);
      float largest = 0;
      bool is_finite = true;
      for (int i = 0; i < c.dimension; ++i) {
        const float size = std::abs(to_float(from[start + size_t(i)]));
        is_finite &= std::isfinite(size);
        largest = std::max(largest, size);
      }
      const float scale = !is_finite ? NAN : largest / (kind == CacheCodes::int8 ? 127.0f : 448.0f);
      unsigned char* target = expected.data() + size_t(page * 2 * c.heads + row) * record;
      for (int i = 0; i < c.dimension; ++i) {
        const float units = scale > 0 ? to_float(from[start + size_t(i)]) / scale : 0;
        target[place * c.dimension + i] =
            uint8_t(kind == CacheCodes::int8 ? int(std::nearbyint(units)) : nearest_float8(double(units)));
      }
      std::memcpy(target + 16 * c.dimension + 4 * place, &scale, 4);
    }
  }
  const auto found = cache.bytes();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (found[i] == expected[i]) continue;
    // One NaN is as good as another.
    const size_t at = i % record;
    if (at >= size_t(16 * c.dimension)) {
      float wanted, scale;
      std::memcpy(&wanted, expected.data() + i / 4 * 4, 4);
      std::memcpy(&scale, found.data() + i / 4 * 4, 4);
      if (std::isnan(wanted) && std::isnan(scale)) continue;
    }
    return fail(__FILE__, __LINE__,
                what + ": byte " + std::to_string(i) + " is " + std::to_string(found[i]) + ", expected " +
                    std::to_string(expected[i]));
  }
}

TEST("append_codes: heads of all widths, rows apart, a token that is skipped, and what lies between") {
  for (CacheCodes kind : {CacheCodes::int8, CacheCodes::float8}) {
    test_append<bf16>({5, 2, 64}, kind);
    test_append<f16>({20, 3, 16, 4}, kind);
    test_append<bf16>({3, 5, 256, 8}, kind);
    test_append<f16>({2, 1, 4}, kind);
    test_append<bf16>({4, 9, 80, 0, 14}, kind);
  }
}

TEST("append_codes: nothing to do, and what is refused") {
  test_append<bf16>({0, 2, 64}, CacheCodes::int8);
  AppendArguments arguments = {};
  arguments.head_dimension = 64;
  arguments.heads = 1;
  EXPECT(append_codes(nullptr, arguments) == invalid_arguments);
  arguments.codes = CacheCodes::int8;
  EXPECT(append_codes(nullptr, arguments) == 0);
  arguments.head_dimension = 6;
  EXPECT(append_codes(nullptr, arguments) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

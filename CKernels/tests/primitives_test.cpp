// The primitives' maps against plain computations.

#include "tests/kernels/primitives.h"

#include "device/types.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

TEST("bf16 and f16 convert exactly, and round to nearest even") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    f16 half = {uint16_t(bits)};
    bf16 brain = {uint16_t(bits)};
    if (!std::isnan(to_float(half))) {
      int exponent = int(bits >> 10 & 31);
      double fraction = double(bits & 1023) / 1024;
      double value = exponent == 31  ? INFINITY
                     : exponent == 0 ? std::ldexp(fraction, -14)
                                     : std::ldexp(1 + fraction, exponent - 15);
      EXPECT(to_float(half) == (bits & 0x8000 ? -value : value));
      EXPECT(from_float<f16>(to_float(half)).bits == bits);
    }
    if (!std::isnan(to_float(brain))) EXPECT(from_float<bf16>(to_float(brain)).bits == bits);
  }
  EXPECT(std::isnan(to_float(from_float<f16>(NAN))) && std::isnan(to_float(from_float<bf16>(NAN))));
  EXPECT(from_float<f16>(65519.996f).bits == 0x7bff && from_float<f16>(65520.0f).bits == 0x7c00);
  EXPECT(from_float<f16>(0x1p-25f).bits == 0 && from_float<f16>(0x1.8p-24f).bits == 2);
  // Halfway between two neighbours, and just beside it.
  for (uint32_t bits : {0x3c00u, 0x3c01u, 0x0001u, 0x03ffu, 0x7bfeu, 0xb555u}) {
    float low = to_float(f16{uint16_t(bits)}), high = to_float(f16{uint16_t(bits + 1)});
    float middle = (low + high) / 2;
    EXPECT(from_float<f16>(middle).bits == bits + bits % 2);
    EXPECT(from_float<f16>(std::nextafter(middle, low)).bits == bits);
    EXPECT(from_float<f16>(std::nextafter(middle, high)).bits == bits + 1);
  }
  EXPECT(from_float<bf16>(float_of(0x3f808000)).bits == 0x3f80);
  EXPECT(from_float<bf16>(float_of(0x3f818000)).bits == 0x3f82);
  EXPECT(from_float<bf16>(float_of(0x7f7fffff)).bits == 0x7f80);
}

TEST("shuffles and votes") {
  DeviceArray<uint32_t> output("output", 256);
  expect_same_bits(
      "exchange", [&](Stream stream) { return exchange_all(stream, {output.data()}); },
      [&] { return output.bytes(); });
  uint32_t thirds = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) thirds |= uint32_t(lane % 3 == 0) << lane;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT(output[lane] == 100 + lane / 2);
    EXPECT(output[32 + lane] == 100 + (lane ^ 5));
    EXPECT(output[64 + lane] == 100 + (lane < 3 ? lane : lane - 3));
    EXPECT(output[96 + lane] == 100 + (lane > 28 ? lane : lane + 3));
    EXPECT(output[128 + lane] == thirds);
    EXPECT(output[160 + lane] == 100 + (lane ^ 1));
    EXPECT(output[192 + lane] == (lane < 16 ? 0x5555u : 0x55550000u));
    EXPECT(float_of(output[224 + lane]) == 496.0f);
  }
}

template <class T>
void test_product(Product product) {
  // Small integers: sums are exact in any order, so the result must be exact too.
  simt::Random random(7);
  std::vector<T> a(256), b(128);
  for (T& value : a) value = from_float<T>(float(random.below(17)) - 8);
  for (T& value : b) value = from_float<T>(float(random.below(17)) - 8);
  DeviceArray<T> device_a("a", a), device_b("b", b);
  DeviceArray<float> d("d", 128);
  expect_same_bits(
      "product",
      [&](Stream stream) { return multiply(stream, {product, device_a.data(), device_b.data(), d.data()}); },
      [&] { return d.bytes(); });
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      float sum = 0;
      for (size_t k = 0; k < 16; ++k) sum += to_float(a[row * 16 + k]) * to_float(b[k * 8 + column]);
      EXPECT(d[row * 8 + column] == sum);
    }
  }
}

TEST("mma of bf16 and f16 is the matrix product") {
  test_product<bf16>(Product::bfloat16);
  test_product<f16>(Product::float16);
}

TEST("mma of int8 is the exact matrix product") {
  simt::Random random(8);
  std::vector<int8_t> a(512), b(256);
  for (int8_t& value : a) value = int8_t(random.below(256));
  for (int8_t& value : b) value = int8_t(random.below(256));
  DeviceArray<int8_t> device_a("a", a), device_b("b", b);
  DeviceArray<int32_t> d("d", 128);
  expect_same_bits(
      "product",
      [&](Stream stream) {
        return multiply(stream, {Product::int8, device_a.data(), device_b.data(), d.data()});
      },
      [&] { return d.bytes(); });
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      int sum = 0;
      for (size_t k = 0; k < 32; ++k) sum += a[row * 32 + k] * b[k * 8 + column];
      EXPECT(d[row * 8 + column] == sum);
    }
  }
}

/// A random 2:4 sparse a[16][k], as stored values, metadata and in full.
struct SparseMatrix {
  SparseMatrix(int k, bool bytes, int selector)
      : stored(size_t(16 * k / 2)), full(size_t(16 * k)), metadata(32) {
    static const uint32_t nibbles[] = {0x4, 0x8, 0x9, 0xc, 0xd, 0xe};
    simt::Random random(uint64_t(40 + k + selector));
    // Metadata of lanes that are not asked is not defined.
    for (uint32_t& word : metadata) word = bytes ? 0 : 0xffff0000u;
    for (int lane = 0; lane < 32; ++lane) {
      if (!bytes && lane % 4 / 2 == selector) metadata[size_t(lane)] = 0;
    }
    for (int row = 0; row < 16; ++row) {
      for (int quad = 0; quad < k / 4; ++quad) {
        const uint32_t nibble = nibbles[random.below(6)];
        const int g = row % 8, upper = row / 8;
        const int lane = 4 * g + (bytes ? 2 * (quad / 8) + upper : 2 * selector + quad / 4);
        const int place = bytes ? quad % 8 : 4 * upper + quad % 4;
        metadata[size_t(lane)] |= nibble << (4 * place);
        for (int i = 0; i < 2; ++i) {
          const int value = int(random.below(17)) - 8;
          stored[size_t(row * k / 2 + 2 * quad + i)] = value;
          full[size_t(row * k + 4 * quad) + (i ? nibble >> 2 : nibble & 3)] = value;
        }
      }
    }
  }
  std::vector<int> stored, full;
  std::vector<uint32_t> metadata;
};

template <class T, class Accumulator>
void test_sparse_product(Product product, int k, int selector, T (*convert)(int)) {
  SparseMatrix a(k, product == Product::int8, selector);
  simt::Random random(9);
  std::vector<int> b(size_t(8 * k));
  for (int& value : b) value = int(random.below(17)) - 8;
  std::vector<T> stored, device_b;
  for (int value : a.stored) stored.push_back(convert(value));
  for (int value : b) device_b.push_back(convert(value));
  DeviceArray<T> stored_array("stored", stored), b_array("b", device_b);
  DeviceArray<uint32_t> metadata("metadata", a.metadata);
  DeviceArray<Accumulator> d("d", 128);
  const SparseProductArguments arguments = {product,         selector,       stored_array.data(),
                                            metadata.data(), b_array.data(), d.data()};
  expect_same_bits(
      "sparse product", [&](Stream stream) { return multiply_sparse(stream, arguments); },
      [&] { return d.bytes(); });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int sum = 0;
      for (int i = 0; i < k; ++i) sum += a.full[size_t(row * k + i)] * b[size_t(i * 8 + column)];
      EXPECT(d[size_t(row * 8 + column)] == Accumulator(sum));
    }
  }
  // Indices that do not rise have no meaning.
  metadata[selector == 1 ? 2 : 0] &= ~15u;
  simt::Stream stream;
  EXPECT(multiply_sparse(&stream, arguments) != 0);
  EXPECT_TEXT(stream.fault, "has metadata 0x0 for row 0, quad 0: its indices do not rise");
}

TEST("mma.sp is the product with a 2:4 sparse matrix") {
  for (int selector : {0, 1}) {
    test_sparse_product<bf16, float>(Product::bfloat16, 32, selector,
                                     [](int v) { return from_float<bf16>(float(v)); });
    test_sparse_product<f16, float>(Product::float16, 32, selector,
                                    [](int v) { return from_float<f16>(float(v)); });
  }
  test_sparse_product<int8_t, int32_t>(Product::int8, 64, 0, [](int v) { return int8_t(v); });
}

TEST("ldmatrix gives each lane its elements, transposed or not, and counts bank conflicts") {
  std::vector<uint16_t> matrix(256);
  for (size_t i = 0; i < 256; ++i) matrix[i] = uint16_t(i);
  for (bool transposed : {false, true}) {
    // 32 bytes a row: eight rows share four 16-byte columns of a line. 144: all eight differ.
    for (int pitch : {32, 144}) {
      DeviceArray<uint16_t> device("matrix", matrix);
      DeviceArray<uint32_t> registers("registers", 128);
      auto statistics = expect_same_bits(
          "load",
          [&](Stream stream) { return load(stream, {device.data(), pitch, transposed, registers.data()}); },
          [&] { return registers.bytes(); });
      EXPECT(statistics.matrix_loads == 1);
      EXPECT(statistics.bank_conflicts == (pitch == 32 ? 4 : 0));
      for (size_t lane = 0; lane < 32; ++lane) {
        for (size_t i = 0; i < 4; ++i) {
          size_t row = i % 2 * 8 + (transposed ? lane % 4 * 2 : lane / 4);
          size_t column = i / 2 * 8 + (transposed ? lane / 4 : lane % 4 * 2);
          uint32_t low = matrix[row * 16 + column];
          uint32_t high = transposed ? matrix[(row + 1) * 16 + column] : matrix[row * 16 + column + 1];
          EXPECT(registers[lane * 4 + i] == (low | high << 16));
        }
      }
    }
  }
}

TEST("named barriers order one warp after another") {
  DeviceArray<int> output("output", 1);
  expect_same_bits(
      "relay", [&](Stream stream) { return relay(stream, {output.data()}); }, [&] { return output.bytes(); });
  EXPECT(output[0] == 111);
}

}  // namespace
}  // namespace gpu::test

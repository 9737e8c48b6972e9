// Conversions on the host, and what the emulation counts.

#include "tests/kernels/primitives.h"

#include "device/types.h"
#include "simt/fiber.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

/// A fiber that counts how often it was switched to.
struct Counter {
  simt::Fiber outer, inner;
  int count = 0;

  static void run(void* argument) {
    auto* counter = static_cast<Counter*>(argument);
    counter->inner.entered();
    for (;;) {
      counter->count += 1;
      simt::Fiber::change(counter->inner, counter->outer);
    }
  }
};

// `--times` says what they cost.
TEST("fibers: a million switches") {
  Counter counter;
  counter.inner.prepare(Counter::run, &counter);
  for (int i = 0; i < 500000; ++i) simt::Fiber::change(counter.outer, counter.inner);
  EXPECT(counter.count == 500000);
}

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

TEST("ldmatrix counts bank conflicts") {
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
    }
  }
}

}  // namespace
}  // namespace gpu::test

// The conformance probes of warps, barriers, atomic additions, copies and numbers against plain computations.

#include "tests/conformance.h"

namespace gpu::test {
namespace {

using conformance::Probe;

TEST("conformance: shuffles exchange lanes") {
  for_each_probe(conformance::warp_probes(), "warp.shuffle", [](auto& probe, auto& in, auto& out) {
    Words expected(out.size());
    for (size_t lane = 0; lane < 32; ++lane) {
      const uint32_t source = in[32 + lane] % 64;
      expected[lane] = in[source % 32];
      size_t row = 1;
      for (size_t distance : {1, 5, 16, 31}) {
        expected[32 * row++ + lane] = in[lane ^ distance];
        expected[32 * row++ + lane] = in[lane < distance ? lane : lane - distance];
        expected[32 * row++ + lane] = in[lane + distance > 31 ? lane : lane + distance];
      }
      expected[32 * row + lane] = in[lane ^ 3] ^ in[lane / 16 * 16 + source % 16];
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: votes and reductions") {
  for_each_probe(conformance::warp_probes(), "warp.vote", [](auto& probe, auto& in, auto& out) {
    uint32_t all = 0;
    for (size_t lane = 0; lane < 32; ++lane) all |= (in[lane] & 1) << lane;
    Words expected(96, all);
    for (size_t lane = 0; lane < 32; ++lane) {
      expected[32 + lane] &= lane < 16 ? 0xffffu : 0xffff0000u;
      expected[64 + lane] &= lane % 2 == 0 ? 0x55555555u : 0xaaaaaaaau;
    }
    expect_words(probe, out, expected);
  });
  for_each_probe(conformance::warp_probes(), "warp.reduce", [](auto& probe, auto& in, auto& out) {
    Words expected;
    for (bool maximum : {false, true}) {
      for (size_t width : {32, 4}) {
        std::vector<float> values(32), next(32);
        for (size_t lane = 0; lane < 32; ++lane) values[lane] = float_of(in[lane]);
        for (size_t distance = width / 2; distance > 0; distance /= 2) {
          for (size_t lane = 0; lane < 32; ++lane) {
            const float other = values[lane ^ distance];
            next[lane] = maximum ? std::max(values[lane], other) : values[lane] + other;
          }
          values = next;
        }
        for (float value : values) expected.push_back(bits_of(value));
      }
    }
    // Rows: sums of 32 and of 4, then maxima.
    expect_words(probe, out, expected);
  });
}

TEST("conformance: barriers order what threads write") {
  for_each_probe(conformance::warp_probes(), "barrier", [](auto& probe, auto& in, auto& out) {
    Words values(in), expected;
    for (int round = 0; round < 3; ++round) {
      const Words before = values;
      for (size_t i = 0; i < 96; ++i) values[i] = before[i] * 3 + before[(i * 7 + 5) % 96];
    }
    expected = values;
    expected.push_back(in[0] + in[1] + in[2]);
    expect_words(probe, out, expected);
  });
}

TEST("conformance: atomic additions lose nothing") {
  for_each_probe(conformance::warp_probes(), "atomic", [](auto& probe, auto& in, auto& out) {
    Words expected(24);
    uint64_t wide[8] = {};
    for (uint32_t word : in) {
      expected[word % 8] += word;
      wide[word % 8] += uint64_t(word) << 16 | word;
    }
    for (size_t i = 0; i < 8; ++i) {
      expected[8 + 2 * i] = uint32_t(wide[i]);
      expected[9 + 2 * i] = uint32_t(wide[i] >> 32);
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: leading zeros and bits") {
  for_each_probe(conformance::warp_probes(), "bits", [](auto& probe, auto& in, auto& out) {
    Words expected(64);
    for (size_t i = 0; i < 32; ++i) {
      const uint32_t value = i == 0 ? 0 : in[i] >> i;
      while (expected[i] < 32 && !(value >> (31 - expected[i]) & 1)) ++expected[i];
      expected[32 + i] = in[i] & 0x7f7fffff;
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: asynchronous copies fill up with zeros") {
  for_each_probe(conformance::copy_probes(), "cp.async", [](auto& probe, auto& in, auto& out) {
    Words expected(out.size());
    for (size_t chunk = 0; chunk < 192; ++chunk) {
      const size_t valid = in[768 + chunk] % 17;
      for (size_t byte = 0; byte < valid; ++byte) {
        const size_t word = 4 * chunk + byte / 4;
        expected[word] |= in[word] & (0xffu << (8 * (byte % 4)));
      }
    }
    expect_words(probe, out, expected);
  });
}

/// The nearest value of a format with these bits, ties to even, by its definition.
uint16_t encoded(double value, int mantissa_bits, int bias) {
  if (std::isnan(value)) return 0x7fff;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const int32_t infinity = (0x7fff >> mantissa_bits) << mantissa_bits;
  if (std::isinf(value)) return uint16_t(sign | infinity);
  if (value == 0) return sign;
  const int exponent = std::max(std::ilogb(value), 1 - bias);
  const double units = std::nearbyint(std::abs(std::ldexp(value, mantissa_bits - exponent)));
  const double bits = units + std::ldexp(exponent - (1 - bias), mantissa_bits);
  return uint16_t(sign | (bits >= infinity ? infinity : int32_t(bits)));
}
uint32_t encoded(double value, bool half) { return half ? encoded(value, 10, 15) : encoded(value, 7, 127); }

uint32_t encoded_pair(double low, double high, bool half) {
  return encoded(low, half) | encoded(high, half) << 16;
}

TEST("conformance: conversions round to nearest even") {
  for_each_probe(conformance::number_probes(), "convert.from_float", [](auto& probe, auto& in, auto& out) {
    const size_t n = in.size();
    Words expected(3 * n);
    for (size_t i = 0; i < n; ++i) {
      const double x = float_of(in[i]), y = float_of(in[(i + 1) % n]);
      expected[i] = encoded(x, false) | encoded(x, true) << 16;
      expected[n + i] = encoded_pair(x, y, false);
      expected[2 * n + i] = encoded_pair(x, y, true);
    }
    expect_words(probe, out, expected);
  });
  for (bool half : {false, true}) {
    for_each_probe(conformance::number_probes(), half ? "convert.from_f16" : "convert.from_bf16",
                   [&](auto& probe, auto&, auto& out) {
                     const int mantissa = half ? 10 : 7, bias = half ? 15 : 127;
                     Words expected;
                     for (int bits = 0; bits < 65536; ++bits) {
                       const int exponent = bits >> mantissa & (2 * bias + 1);
                       const double fraction = std::ldexp(bits & ((1 << mantissa) - 1), -mantissa);
                       double value = exponent == 0 ? std::ldexp(fraction, 1 - bias)
                                                    : std::ldexp(1 + fraction, exponent - bias);
                       if (exponent == 2 * bias + 1) value = fraction == 0 ? INFINITY : NAN;
                       if (bits & 0x8000) value = -value;
                       expected.push_back(std::isnan(value) ? 0x7fc00000 : bits_of(float(value)));
                     }
                     expect_words(probe, out, expected);
                   });
  }
}

TEST("conformance: pairs and four-bit codes") {
  for (bool half : {false, true}) {
    const std::string type = half ? "f16" : "bf16";
    for_each_probe(conformance::number_probes(), "packed.fma." + type, [&](auto& probe, auto& in, auto& out) {
      const size_t n = out.size();
      Words expected;
      for (size_t i = 0; i < n; ++i) {
        double value[2];
        for (uint32_t side : {0, 1}) {
          auto operand = [&](size_t which) { return double(in[which * n + i] / (side ? 31 : 1) % 31) - 15; };
          value[side] = operand(0) * operand(1) + operand(2);
        }
        // What cancels is positive zero, whatever its terms were.
        expected.push_back(encoded_pair(value[0] + 0.0, value[1] + 0.0, half));
      }
      expect_words(probe, out, expected);
    });
    for_each_probe(conformance::number_probes(), "packed.codes." + type,
                   [&](auto& probe, auto& in, auto& out) {
                     const size_t n = in.size() / 2;
                     Words expected(4 * n);
                     for (size_t i = 0; i < n; ++i) {
                       for (size_t nibble = 0; nibble < 4; ++nibble) {
                         auto code = [&](size_t place) {
                           return double(in[i] >> (4 * place) & 15) - double(in[n + i] % 16);
                         };
                         expected[nibble * n + i] = encoded_pair(code(nibble), code(nibble + 4), half);
                       }
                     }
                     expect_words(probe, out, expected);
                   });
  }
}

/// a · b + c, rounded once: the sum in double is rounded to odd first (Boldo and Melquiond 2008), which makes
/// the second rounding right.
float fused(double a, double b, double c) {
  const double product = a * b, sum = product + c;
  const double back = sum - product, error = (product - (sum - back)) + (c - back);
  uint64_t bits;
  std::memcpy(&bits, &sum, 8);
  if (std::isfinite(sum) && error != 0 && bits % 2 == 0) {
    return float(std::nextafter(sum, error > 0 ? INFINITY : -INFINITY));
  }
  return float(sum);
}

TEST("conformance: single operations are rounded once") {
  for_each_probe(conformance::number_probes(), "rounded", [](auto& probe, auto& in, auto& out) {
    const size_t n = in.size() / 3;
    Words expected(7 * n);
    auto word = [](float value) { return std::isnan(value) ? 0x7fc00000u : bits_of(value); };
    for (size_t i = 0; i < n; ++i) {
      // Double has more than twice the bits of float: rounding twice is rounding once.
      const double a = float_of(in[i]), b = float_of(in[n + i]), c = float_of(in[2 * n + i]);
      expected[i] = word(float(a + b));
      expected[n + i] = word(float(a - b));
      expected[2 * n + i] = word(float(a * b));
      expected[3 * n + i] = word(float(a / b));
      expected[4 * n + i] = word(fused(a, b, c));
      const int64_t first = int64_t(int32_t(in[i])) * int32_t(in[n + i]);
      const __int128 exact = __int128(double(first)) * int32_t(in[2 * n + i]);
      const __int128 product = __int128(double(exact));
      expected[5 * n + i] = uint32_t(product >> 64);
      expected[6 * n + i] = uint32_t(product >> 32);
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: approximations are as good as they say") {
  for_each_probe(conformance::number_probes(), "math.", [](auto& probe, auto& in, auto& out) {
    const std::string name = probe.description.name;
    for (size_t i = 0; i < out.size(); ++i) {
      const double x = float_of(in[i]), found = float_of(out[i]);
      double expected = name == "math.exp2"   ? std::exp2(x)
                        : name == "math.tanh" ? std::tanh(x)
                                              : 1 / std::sqrt(x);
      if (name == "math.divide") expected = x / float_of(in[out.size() + i]);
      if (expected > 0x1p128) expected = INFINITY;
      if (std::abs(expected) < 0x1p-126) expected = 0;
      if (found == expected ||
          std::abs(found - expected) <= 0.6 * probe.description.tolerance * std::abs(expected)) {
        continue;
      }
      fail(__FILE__, __LINE__, name + " of " + std::to_string(x) + " is " + std::to_string(found));
    }
  });
}

TEST("conformance: every probe is compared with something here") {
  std::vector<std::string> known = {"warp.shuffle",
                                    "warp.vote",
                                    "warp.reduce",
                                    "warp.elect",
                                    "barrier",
                                    "atomic",
                                    "bits",
                                    "cp.async",
                                    "convert.from_float",
                                    "convert.from_bf16",
                                    "convert.from_f16",
                                    "packed.fma.",
                                    "packed.codes.",
                                    "rounded",
                                    "math.",
                                    "ldmatrix.",
                                    "mma.",
                                    "mbarrier.ring",
                                    "tma.load.",
                                    "tma.store.",
                                    "wgmma."};
  std::vector<std::string> names;
  for (auto group : {conformance::warp_probes, conformance::number_probes, conformance::matrix_probes,
                     conformance::copy_probes, conformance::bulk_probes, conformance::warpgroup_probes,
                     conformance::sparse_warpgroup_probes}) {
    for (const Probe& probe : group()) {
      const std::string name = probe.description.name;
      EXPECT(std::any_of(known.begin(), known.end(),
                         [&](const std::string& part) { return name.compare(0, part.size(), part) == 0; }));
      EXPECT(std::find(names.begin(), names.end(), name) == names.end());
      names.push_back(name);
      const bool by_bits = probe.description.comparison == GPI_PROBE_BITS;
      EXPECT(by_bits == (probe.description.tolerance == 0) && probe.description.output_words > 0);
    }
  }
}

}  // namespace
}  // namespace gpu::test

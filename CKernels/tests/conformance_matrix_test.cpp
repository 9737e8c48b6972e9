// The conformance probes of matrices and of bulk copies against plain computations.

#include "tests/conformance.h"

namespace gpu::test {
namespace {

using conformance::Probe;

TEST("conformance: ldmatrix gives each lane its elements, transposed or not") {
  for_each_probe(conformance::matrix_probes(), "ldmatrix", [](auto& probe, auto& in, auto& out) {
    const size_t matrices = size_t(probe.variation[0]);
    Words expected(32 * matrices);
    // Element `column` of the row that lane `of` named.
    auto at = [&](size_t of, size_t column) -> uint32_t {
      const size_t place = in[128 + of];
      return half_word(in, (place & 15) * 16 + (place >> 4 & 1) * 8 + column);
    };
    for (size_t lane = 0; lane < 32; ++lane) {
      const size_t g = lane / 4, q = lane % 4;
      for (size_t m = 0; m < matrices; ++m) {
        expected[lane * matrices + m] = probe.variation[1]
                                            ? at(8 * m + 2 * q, g) | at(8 * m + 2 * q + 1, g) << 16
                                            : at(8 * m + g, 2 * q) | at(8 * m + g, 2 * q + 1) << 16;
      }
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: mma is the matrix product") {
  for_each_probe(conformance::matrix_probes(), "mma.", [](auto& probe, auto& in, auto& out) {
    const std::string name = probe.description.name;
    if (name.find(".sp.") != std::string::npos) return;
    const bool bytes = name == "mma.s8", half = name.find("f16") == 4,
               real = name.find("real") != std::string::npos;
    const size_t k_size = bytes ? 32 : 16;
    const Words b = slice(in, 128, 64), c = slice(in, 192, 128);
    Words expected;
    std::vector<double> sums, magnitudes;
    for (size_t place = 0; place < 128; ++place) {
      const size_t row = place / 8, column = place % 8;
      double sum = bytes ? double(int32_t(c[place])) : double(float_of(c[place])), magnitude = std::abs(sum);
      for (size_t k = 0; k < k_size; ++k) {
        const double term = bytes ? signed_byte(in, row * 32 + k) * signed_byte(b, k * 8 + column)
                                  : element(in, row * 16 + k, half) * element(b, k * 8 + column, half);
        sum += term;
        magnitude += std::abs(term);
      }
      sums.push_back(sum);
      magnitudes.push_back(magnitude);
      expected.push_back(bytes ? uint32_t(int32_t(sum)) : bits_of(float(sum)));
    }
    if (real) {
      expect_sums(probe, out, sums, magnitudes);
    } else {
      expect_words(probe, out, expected);
    }
  });
}

/// E4M3, from sign, exponent (bias 7) and three bits of fraction.
double float8_at(const Words& words, size_t i) {
  const int bits = signed_byte(words, i) & 255, exponent = bits >> 3 & 15;
  const double size = exponent == 0 ? std::ldexp(bits & 7, -9) : std::ldexp(8 + (bits & 7), exponent - 10);
  return bits >> 7 ? -size : size;
}

TEST("conformance: mma of E4M3 is the matrix product") {
  for_each_probe(conformance::matrix_probes_sm89(), "mma.e4m3", [](auto& probe, auto& in, auto& out) {
    const Words b = slice(in, 128, 64);
    Words expected;
    for (size_t place = 0; place < 128; ++place) {
      double sum = float_of(in[192 + place]);
      for (size_t k = 0; k < 32; ++k) {
        sum += float8_at(in, place / 8 * 32 + k) * float8_at(b, k * 8 + place % 8);
      }
      expected.push_back(bits_of(float(sum)));
    }
    expect_words(probe, out, expected);
  });
}

/// Which quad of which row a nibble of a lane's metadata speaks of: the maps of device/mma_sparse.h.
struct MetadataPlace {
  size_t lane, nibble;

  static MetadataPlace of(size_t row, size_t quad, bool bytes, size_t selector) {
    const size_t g = row % 8, upper = row / 8;
    if (bytes) return {4 * g + 2 * (quad / 8) + upper, quad % 8};
    return {4 * g + 2 * selector + quad / 4, 4 * upper + quad % 4};
  }
};

TEST("conformance: mma.sp is the product with a 2:4 sparse matrix") {
  for_each_probe(conformance::matrix_probes(), "mma.sp.", [](auto& probe, auto& in, auto& out) {
    const std::string name = probe.description.name;
    const bool bytes = name == "mma.sp.s8", half = name.find(".f16.") != std::string::npos;
    const size_t selector = size_t(probe.variation[1]), stored = bytes ? 32 : 16;
    const Words b = slice(in, 128, 128), metadata = slice(in, 256, 32);
    Words expected;
    for (size_t row = 0; row < 16; ++row) {
      for (size_t column = 0; column < 8; ++column) {
        double sum = 0;
        for (size_t i = 0; i < stored; ++i) {
          const MetadataPlace place = MetadataPlace::of(row, i / 2, bytes, selector);
          const uint32_t nibble = metadata[place.lane] >> (4 * place.nibble) & 15;
          const size_t k = i / 2 * 4 + (i % 2 ? nibble >> 2 : nibble & 3);
          sum += bytes ? signed_byte(in, row * stored + i) * signed_byte(b, k * 8 + column)
                       : element(in, row * stored + i, half) * element(b, k * 8 + column, half);
        }
        expected.push_back(bytes ? uint32_t(int32_t(sum)) : bits_of(float(sum)));
      }
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: metadata whose indices do not rise is refused") {
  for (const Probe& probe : conformance::matrix_probes()) {
    const std::string name = probe.description.name;
    if (name.find("mma.sp.") != 0) continue;
    Words words = inputs_of(probe, 1);
    words[256 + (probe.variation[1] == 1 ? 2 : 0)] &= ~15u;
    DeviceArray<uint32_t> input("input", words), output("output", size_t(probe.description.output_words));
    simt::Stream stream;
    EXPECT(probe.launch(&stream, probe, arguments_of(probe, input.data(), output.data())) != 0);
    EXPECT_TEXT(stream.fault, "has metadata 0x0 for row 0, quad 0: its indices do not rise");
  }
}

/// A swizzle written down as the manual's pictures have it: in rows of `span` bytes, the 16-byte chunk of a
/// row is exchanged with the one whose number differs in the bits of the row.
size_t swizzled_element(size_t row, size_t column, size_t columns, int swizzle) {
  const size_t span = swizzle == 0 ? columns * 2 : size_t(16) << swizzle, byte = column * 2;
  if (swizzle == 0) return row * columns + column;
  const size_t chunks = span / 16, rows_a_line = 128 / span;
  return (row * span + ((byte / 16) ^ (row / rows_a_line % chunks)) * 16 + byte % 16) / 2;
}

constexpr int width = 44, height = 21, pitch = 48, box_rows = 16;
int box_columns(int swizzle) { return swizzle == 0 ? 24 : (16 << swizzle) / 2; }

TEST("conformance: tma: boxes arrive swizzled, with zeros for what lies outside") {
  for_each_probe(conformance::bulk_probes(), "tma.load.", [](auto& probe, auto& in, auto& out) {
    const std::string name = probe.description.name;
    if (name.back() == 'd') return;
    const int swizzle = probe.variation[0], columns = box_columns(swizzle);
    size_t box = 0;
    for (auto [x, y] : {std::pair(0, 0), {16, 9}, {-5, -3}, {40, 20}, {100, 0}, {0, 21}}) {
      bool fine = true;
      for (int row = 0; row < box_rows; ++row) {
        for (int column = 0; column < columns; ++column) {
          const int r = y + row, c = x + column;
          const bool inside = r >= 0 && r < height && c >= 0 && c < width;
          const size_t place = box * size_t(columns * box_rows) +
                               swizzled_element(size_t(row), size_t(column), size_t(columns), swizzle);
          fine &= half_word(out, place) == (inside ? half_word(in, size_t(r * pitch + c)) : 0);
        }
      }
      if (!fine) fail(__FILE__, __LINE__, name + ": box " + std::to_string(box));
      ++box;
    }
  });
}

TEST("conformance: tma: three and four dimensions") {
  for (int rank : {3, 4}) {
    for_each_probe(conformance::bulk_probes(), "tma.load." + std::to_string(rank) + "d",
                   [&](auto&, auto& in, auto& out) {
                     size_t i = 0;
                     bool fine = true;
                     for (int w = 0; w < (rank == 4 ? 2 : 1); ++w) {
                       for (int z = 0; z < 2; ++z) {
                         for (int y = 0; y < 3; ++y) {
                           for (int x = 0; x < 8; ++x, ++i) {
                             const int block = rank == 4 ? w + 1 : 0;
                             const bool inside = y + 3 < 5 && z + 2 < 4 && block < 3;
                             const size_t place = size_t(block * 160 + (z + 2) * 40 + (y + 3) * 8 + x);
                             fine &= half_word(out, i) == (inside ? half_word(in, place) : 0);
                           }
                         }
                       }
                     }
                     EXPECT(fine);
                   });
  }
}

TEST("conformance: tma: stores leave out what lies outside") {
  for_each_probe(conformance::bulk_probes(), "tma.store.", [](auto& probe, auto& in, auto& out) {
    const bool deep = probe.variation[1] == 3;
    const int swizzle = probe.variation[0], columns = deep ? 8 : box_columns(swizzle);
    const int elements = int(out.size() * 2);
    bool fine = true;
    for (int i = 0; i < elements; ++i) {
      const int step = deep ? 8 : pitch;
      const int x = i % step, y = deep ? i / 8 % 5 : i / pitch, z = deep ? i / 40 : 0;
      uint16_t expected = 0xffff;
      for (auto [left, top, front] : {std::tuple(deep ? 0 : -8, deep ? -1 : -9, deep ? -1 : 0),
                                      {deep ? 0 : 32, deep ? 3 : 12, deep ? 3 : 0}}) {
        const int column = x - left, row = y - top, plane = z - front;
        if (x >= (deep ? 8 : width) || column < 0 || column >= columns || row < 0 ||
            row >= (deep ? 3 : box_rows) || plane < 0 || plane >= (deep ? 2 : 1)) {
          continue;
        }
        expected =
            half_word(in, deep ? size_t((plane * 3 + row) * 8 + column)
                               : swizzled_element(size_t(row), size_t(column), size_t(columns), swizzle));
      }
      fine &= half_word(out, size_t(i)) == expected;
    }
    if (!fine) fail(__FILE__, __LINE__, probe.description.name);
  });
}

TEST("conformance: mbarriers hand on every slice of a ring") {
  for_each_probe(conformance::bulk_probes(), "mbarrier.ring", [](auto& probe, auto& in, auto& out) {
    Words expected(256);
    for (size_t i = 0; i < 128; ++i) {
      for (size_t round = 0; round < 7; ++round) expected[i] = expected[i] * 3 + in[round * 128 + i];
      expected[128 + i] = expected[i];
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: elect_one elects one lane, the same each time") {
  for_each_probe(conformance::bulk_probes(), "warp.elect",
                 [](auto& probe, auto&, auto& out) { expect_words(probe, out, Words(8, 1)); });
}

/// Of a [64][64] and b [n][64] of 8 bits.
Words products_of_codes(const Words& a, const Words& b, size_t n, bool integers) {
  Words expected;
  for (size_t row = 0; row < 64; ++row) {
    for (size_t column = 0; column < n; ++column) {
      double sum = 0;
      for (size_t k = 0; k < 64; ++k) {
        const size_t at = row * 64 + k, bt = column * 64 + k;
        sum += integers ? signed_byte(a, at) * signed_byte(b, bt) : float8_at(a, at) * float8_at(b, bt);
      }
      expected.push_back(integers ? uint32_t(int32_t(sum)) : bits_of(float(sum)));
    }
  }
  return expected;
}

TEST("conformance: wgmma is the matrix product of what descriptors say") {
  for_each_probe(conformance::warpgroup_probes(), "wgmma.", [](auto& probe, auto& in, auto& out) {
    const std::string name = probe.description.name;
    const bool half = name.find(".f16.") != std::string::npos, real = name.find("real") != std::string::npos;
    const size_t n = size_t(probe.variation[1]);
    const Words b = slice(in, 1024, 16 * n);
    if (name.find(".s8.") != std::string::npos || name.find(".e4m3.") != std::string::npos) {
      return expect_words(probe, out, products_of_codes(in, b, n, name.find(".s8.") != std::string::npos));
    }
    Words expected;
    std::vector<double> sums, magnitudes;
    for (size_t row = 0; row < 64; ++row) {
      for (size_t column = 0; column < n; ++column) {
        double sum = 0, magnitude = 0;
        for (size_t k = 0; k < 32; ++k) {
          const double term = element(in, row * 32 + k, half) * element(b, column * 32 + k, half);
          sum += term;
          magnitude += std::abs(term);
        }
        sums.push_back(sum);
        magnitudes.push_back(magnitude);
        expected.push_back(bits_of(float(sum)));
      }
    }
    if (real) {
      expect_sums(probe, out, sums, magnitudes);
    } else {
      expect_words(probe, out, expected);
    }
  });
}

TEST("conformance: wgmma.sp is the product with a 2:4 sparse matrix") {
  for_each_probe(conformance::sparse_warpgroup_probes(), "wgmma.sp.", [](auto& probe, auto& in, auto& out) {
    const bool half = probe.variation[0] == 1;
    const Words metadata = slice(in, 1024, 128), b = slice(in, 1152, 4096);
    Words expected;
    for (size_t row = 0; row < 64; ++row) {
      for (size_t column = 0; column < 128; ++column) {
        double sum = 0;
        for (size_t i = 0; i < 32; ++i) {
          const MetadataPlace place = MetadataPlace::of(row % 16, i % 16 / 2, false, i / 16);
          const uint32_t nibble = metadata[row / 16 * 32 + place.lane] >> (4 * place.nibble) & 15;
          const size_t k = i / 2 * 4 + (i % 2 ? nibble >> 2 : nibble & 3);
          sum += element(in, row * 32 + i, half) * element(b, column * 64 + k, half);
        }
        expected.push_back(bits_of(float(sum)));
      }
    }
    expect_words(probe, out, expected);
  });
}

TEST("conformance: metadata of wgmma.sp whose indices do not rise is refused") {
  const Probe probe = conformance::sparse_warpgroup_probes()[0];
  Words words = inputs_of(probe, 1);
  words[1024 + 32] &= ~15u;
  DeviceArray<uint32_t> input("input", words), output("output", size_t(probe.description.output_words));
  simt::Stream stream;
  EXPECT(probe.launch(&stream, probe, arguments_of(probe, input.data(), output.data())) != 0);
  EXPECT_TEXT(stream.fault, "has metadata 0x0 for row 0, quad 0: its indices do not rise");
}

}  // namespace
}  // namespace gpu::test

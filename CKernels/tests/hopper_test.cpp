// The primitives of sm_90 against plain computations.

#include "tests/kernels/hopper.h"

#include "tests/support.h"

namespace gpu::test {
namespace {

/// A swizzle written down as the manual's pictures have it: in rows of `span` bytes, the 16-byte chunk of a
/// row is exchanged with the one whose number differs in the bits of the row.
size_t swizzled_place(size_t row, size_t byte, size_t span) {
  const size_t chunks = span / 16, rows_a_line = 128 / span;
  return row * span + ((byte / 16) ^ (row / rows_a_line % chunks)) * 16 + byte % 16;
}
constexpr Swizzle all_swizzles[] = {Swizzle::none, Swizzle::bytes_32, Swizzle::bytes_64, Swizzle::bytes_128};

TEST("tma: boxes arrive swizzled, with zeros for what lies outside") {
  // 21 rows of 44 elements, 48 apart.
  constexpr int width = 44, height = 21, pitch = 48;
  std::vector<uint16_t> tensor(height * pitch);
  for (size_t i = 0; i < tensor.size(); ++i) tensor[i] = uint16_t(i + 1);
  DeviceArray<uint16_t> device("tensor", tensor);
  for (Swizzle swizzle : all_swizzles) {
    const size_t span = swizzle == Swizzle::none ? 48 : size_t(swizzle_span(swizzle));
    const int columns = int(span / 2), rows = 16;
    TensorMapDescription d = {device.data(), 2, 2, {width, height}, {0, pitch * 2}, {columns, rows}, swizzle};
    for (auto [x, y] : {std::pair(0, 0), {columns, 9}, {-5, -3}, {40, 20}, {100, 0}, {0, 21}}) {
      DumpBoxArguments arguments = {};
      EXPECT(encode_tensor_map(arguments.map, d) == 0);
      arguments.rank = 2;
      arguments.at[0] = x;
      arguments.at[1] = y;
      arguments.bytes = columns * rows * 2;
      DeviceArray<uint32_t> output("output", size_t(arguments.bytes / 4));
      arguments.output = output.data();
      expect_same_bits(
          "dump", [&](Stream stream) { return dump_box(stream, arguments); }, [&] { return output.bytes(); });
      auto bytes = output.bytes();
      bool fine = true;
      for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
          const int r = y + row, c = x + column;
          const bool inside = r >= 0 && r < height && c >= 0 && c < width;
          const size_t place = swizzle == Swizzle::none
                                   ? size_t(row) * span + size_t(column) * 2
                                   : swizzled_place(size_t(row), size_t(column) * 2, span);
          uint16_t value;
          std::memcpy(&value, bytes.data() + place, 2);
          fine &= value == (inside ? tensor[size_t(r * pitch + c)] : 0);
        }
      }
      EXPECT(fine);
    }
  }
}

TEST("tma: three and four dimensions") {
  // [3][4][5][8] elements; a box of 2 x 3 x 2 rows from (0, 3, 2, 1) hangs over the second and the third.
  std::vector<uint16_t> tensor(3 * 4 * 5 * 8);
  for (size_t i = 0; i < tensor.size(); ++i) tensor[i] = uint16_t(i + 1);
  DeviceArray<uint16_t> device("tensor", tensor);
  for (int rank : {3, 4}) {
    TensorMapDescription d = {device.data(), 2, rank, {8, 5, 4, 3}, {0, 16, 80, 320}, {8, 3, 2, 2},
                              Swizzle::none};
    DumpBoxArguments arguments = {};
    EXPECT(encode_tensor_map(arguments.map, d) == 0);
    arguments.rank = rank;
    for (int i = 0; i < 4; ++i) arguments.at[i] = i == 0 ? 0 : 4 - i;
    arguments.bytes = 16 * 3 * 2 * (rank == 4 ? 2 : 1);
    DeviceArray<uint32_t> output("output", size_t(arguments.bytes / 4));
    arguments.output = output.data();
    expect_same_bits(
        "dump", [&](Stream stream) { return dump_box(stream, arguments); }, [&] { return output.bytes(); });
    auto bytes = output.bytes();
    for (int w = 0; w < (rank == 4 ? 2 : 1); ++w) {
      for (int z = 0; z < 2; ++z) {
        for (int y = 0; y < 3; ++y) {
          uint16_t value;
          std::memcpy(&value, bytes.data() + ((w * 2 + z) * 3 + y) * 16 + 6, 2);
          const int block = rank == 4 ? w + 1 : 0;
          const bool inside = y + 3 < 5 && z + 2 < 4 && block < 3;
          EXPECT(value == (inside ? tensor[size_t(((block * 4 + z + 2) * 5 + y + 3) * 8 + 3)] : 0));
        }
      }
    }
  }
}

TEST("tma: stores leave out what lies outside") {
  constexpr int width = 60, height = 10, pitch = 64;
  for (Swizzle swizzle : all_swizzles) {
    const size_t span = swizzle == Swizzle::none ? 32 : size_t(swizzle_span(swizzle));
    const int columns = int(span / 2), rows = 8;
    std::vector<uint16_t> image(size_t(columns * rows));
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        const size_t place = swizzle == Swizzle::none ? size_t(row) * span + size_t(column) * 2
                                                      : swizzled_place(size_t(row), size_t(column) * 2, span);
        image[place / 2] = uint16_t(1000 * (row + 1) + column);
      }
    }
    DeviceArray<uint16_t> device_image("image", image);
    for (auto [x, y] : {std::pair(0, 0), {width - columns / 2, 5}, {-8, -2}}) {
      DeviceArray<uint16_t> tensor("tensor", std::vector<uint16_t>(height * pitch, 7));
      TensorMapDescription d = {tensor.data(),   2,      2, {width, height}, {0, pitch * 2},
                                {columns, rows}, swizzle};
      StoreBoxArguments arguments = {};
      EXPECT(encode_tensor_map(arguments.map, d) == 0);
      arguments.rank = 2;
      arguments.at[0] = x;
      arguments.at[1] = y;
      arguments.bytes = columns * rows * 2;
      arguments.image = reinterpret_cast<const uint32_t*>(device_image.data());
      expect_same_bits(
          "store", [&](Stream stream) { return store_image(stream, arguments); },
          [&] { return tensor.bytes(); });
      bool fine = true;
      for (int r = 0; r < height; ++r) {
        for (int c = 0; c < pitch; ++c) {
          const bool written = c < width && r >= y && r < y + rows && c >= x && c < x + columns;
          fine &= tensor[size_t(r * pitch + c)] == (written ? uint16_t(1000 * (r - y + 1) + c - x) : 7);
        }
      }
      EXPECT(fine);
    }
  }
}

TEST("tensor maps that the driver would refuse") {
  alignas(16) static const uint16_t data[64] = {};
  const TensorMapDescription right = {data, 2, 2, {64, 4}, {0, 128}, {64, 4}, Swizzle::bytes_128};
  TensorMap map;
  EXPECT(encode_tensor_map(map, right) == 0);
  auto refused = [&](auto change) {
    TensorMapDescription d = right;
    change(d);
    return encode_tensor_map(map, d) == invalid_arguments;
  };
  EXPECT(refused([](auto& d) { d.address = data + 1; }));
  EXPECT(refused([](auto& d) { d.stride[1] = 120; }));
  EXPECT(refused([](auto& d) { d.stride[1] = int64_t(1) << 40; }));
  EXPECT(refused([](auto& d) { d.size[1] = 0; }));
  EXPECT(refused([](auto& d) { d.box[1] = 257; }));
  EXPECT(refused([](auto& d) { d.box[0] = 32; }));
  EXPECT(refused([](auto& d) { d.rank = 6; }));
  EXPECT(refused([](auto& d) { d.rank = 1; }));
  EXPECT(refused([](auto& d) { d.element_bytes = 3; }));
  EXPECT(refused([](auto& d) { d.swizzle = Swizzle::none, d.box[0] = 4; }));
}

/// Operands of small integers, so that every order of summation gives the same, exact result.
struct ProductCase {
  int n;
  Swizzle swizzle;
  bool transposed_b;
  bool a_in_registers;
};

template <class T>
void test_product(const ProductCase& c) {
  const size_t steps = WarpgroupProductArguments::steps, k_size = 16 * steps, n = size_t(c.n);
  const size_t span = size_t(swizzle_span(c.swizzle));
  simt::Random random(21);
  std::vector<T> a(64 * k_size), b(n * k_size);
  for (T& value : a) value = from_float<T>(float(random.below(17)) - 8);
  for (T& value : b) value = from_float<T>(float(random.below(17)) - 8);

  WarpgroupProductArguments p = {};
  p.half = std::is_same_v<T, f16>;
  p.transposed_b = c.transposed_b;
  p.a_in_registers = c.a_in_registers;
  p.n = c.n;
  p.swizzle = c.swizzle;

  // k-major, `span` bytes of k a row; k that does not fit goes to a second panel of all rows. Without a
  // swizzle a panel is one 16-byte column of core matrices.
  auto k_major_place = [&](size_t row, size_t k, size_t rows) {
    const size_t panel = k * 2 / span, byte = k * 2 % span;
    return panel * rows * span +
           (c.swizzle == Swizzle::none ? row * 16 + byte : swizzled_place(row, byte, span));
  };
  // For one k, `span` bytes of n; further n go to a second panel of all k.
  auto transposed_place = [&](size_t row, size_t k) {
    const size_t panel = row * 2 / span, byte = row * 2 % span;
    return panel * k_size * span + swizzled_place(k, byte, span);
  };
  const size_t row_bytes = std::max(span, k_size * 2);
  const size_t b_start = 64 * row_bytes;
  std::vector<uint16_t> image((b_start + n * row_bytes) / 2);
  for (size_t row = 0; row < 64; ++row) {
    for (size_t k = 0; k < k_size; ++k) image[k_major_place(row, k, 64) / 2] = a[row * k_size + k].bits;
  }
  for (size_t row = 0; row < n; ++row) {
    for (size_t k = 0; k < k_size; ++k) {
      const size_t place = c.transposed_b ? transposed_place(row, k) : k_major_place(row, k, n);
      image[(b_start + place) / 2] = b[row * k_size + k].bits;
    }
  }
  p.b_start = int(b_start);
  p.image_bytes = int(image.size() * 2);
  p.a_stride = p.b_stride = int(8 * span);
  p.a_leading = 64 * 16;
  p.b_leading = c.n * 16;
  // The second sixteen of k: further on in the row, or in the next panels.
  p.a_advance = span >= 64 ? 32 : 32 / int(span) * 64 * int(span);
  p.b_advance = span >= 64 ? 32 : 32 / int(span) * c.n * int(span);
  if (c.transposed_b) {
    p.b_leading = int(k_size * span);
    p.b_advance = int(16 * span);
  }
  DeviceArray<uint16_t> device_image("image", image);
  DeviceArray<T> plain("a", a);
  DeviceArray<float> d("d", 64 * n);
  p.image = reinterpret_cast<const uint32_t*>(device_image.data());
  p.plain_a = reinterpret_cast<const uint16_t*>(plain.data());
  p.d = d.data();
  auto statistics = expect_same_bits(
      "product", [&](Stream stream) { return multiply_in_warpgroup(stream, p); }, [&] { return d.bytes(); });
  EXPECT(statistics.wgmma == int64_t(steps));
  bool fine = true;
  for (size_t row = 0; row < 64; ++row) {
    for (size_t column = 0; column < n; ++column) {
      float sum = 0;
      for (size_t k = 0; k < k_size; ++k)
        sum += to_float(a[row * k_size + k]) * to_float(b[column * k_size + k]);
      fine &= d[row * n + column] == sum;
    }
  }
  EXPECT(fine);
}

TEST("wgmma: k-major operands in every swizzle") {
  for (Swizzle swizzle : all_swizzles) {
    test_product<bf16>({64, swizzle, false, false});
    test_product<f16>({96, swizzle, false, false});
  }
  test_product<f16>({128, Swizzle::bytes_128, false, false});
  test_product<bf16>({256, Swizzle::bytes_128, false, false});
}

TEST("wgmma: transposed b, and a in registers") {
  for (Swizzle swizzle : {Swizzle::bytes_32, Swizzle::bytes_64, Swizzle::bytes_128}) {
    test_product<bf16>({64, swizzle, true, false});
    test_product<f16>({128, swizzle, true, true});
  }
  test_product<bf16>({96, Swizzle::bytes_64, true, true});
  test_product<bf16>({256, Swizzle::bytes_128, true, true});
  test_product<bf16>({64, Swizzle::bytes_128, false, true});
}

TEST("mbarriers: a ring of two stages hands on every slice") {
  for (int rounds : {0, 1, 2, 7}) {
    std::vector<float> input(size_t(rounds) * 128 + 4);
    for (size_t i = 0; i < input.size(); ++i) input[i] = float(i % 1000);
    DeviceArray<float> device("input", input), output("output", 256);
    expect_same_bits(
        "ring",
        [&](Stream stream) { return sum_through_ring(stream, {device.data(), rounds, output.data()}); },
        [&] { return output.bytes(); });
    for (size_t i = 0; i < 128; ++i) {
      float sum = 0;
      for (size_t round = 0; round < size_t(rounds); ++round) sum += input[round * 128 + i];
      EXPECT(output[i] == sum && output[128 + i] == sum);
    }
  }
}

TEST("elect_one elects one lane, the same in each warp of a kernel") {
  for (uint64_t seed : {1, 2, 3}) {
    DeviceArray<int> output("output", std::vector<int>(4, -1));
    simt::Stream stream;
    stream.options.seed = seed;
    EXPECT(elect_lanes(&stream, {output.data()}) == 0);
    EXPECT(output[0] >= 0 && output[0] < 32);
    for (size_t warp = 1; warp < 4; ++warp) EXPECT(output[warp] == output[0]);
  }
}

}  // namespace
}  // namespace gpu::test

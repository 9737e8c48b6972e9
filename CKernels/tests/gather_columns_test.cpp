// Columns in another order, against a plain loop.

#include "tests/support.h"

namespace gpu::test {
namespace {

/// Rows start `offset` elements into the memory and lie `padding` apart.
void test_gather(int rows, int width, int columns, int padding = 0, int offset = 0) {
  const int stride = columns + padding;
  simt::Random random(7);
  std::vector<int32_t> order;
  for (int j = 0; j < width; ++j) order.push_back(int32_t(random.below(uint32_t(columns))));
  DeviceArray<bf16> input("input", random_values<bf16>(size_t(offset + rows * stride), 31));
  DeviceArray<int32_t> device_order("order", order);
  DeviceArray<bf16> output("output", size_t(rows * width));
  const GatherColumnsArguments arguments = {rows,   width,        device_order.data(), input.data() + offset,
                                            stride, output.data()};
  const std::string what =
      "gather " + std::to_string(rows) + "x" + std::to_string(width) + " of " + std::to_string(columns);
  expect_same_bits(
      what, [&](Stream stream) { return gather_columns(stream, arguments); }, [&] { return output.bytes(); });
  for (int row = 0; row < rows; ++row) {
    for (int j = 0; j < width; ++j) {
      const bf16 wanted = input[size_t(offset + row * stride + order[size_t(j)])];
      if (output[size_t(row * width + j)].bits != wanted.bits) {
        return fail(__FILE__, __LINE__, what + ": another column at " + std::to_string(j));
      }
    }
  }
}

TEST("gather_columns: vectors and tails, rows apart, fewer and more columns than the input has") {
  test_gather(3, 8, 8);
  test_gather(2, 1031, 1031);
  test_gather(5, 2056, 2056, 3);
  test_gather(1, 16, 40, 0, 1);
  test_gather(4, 24, 5, 2);
  test_gather(2, 1, 1);
}

TEST("gather_columns: nothing to do, and what is refused") {
  test_gather(0, 8, 8);
  test_gather(3, 0, 8);
  EXPECT(gather_columns(nullptr, {-1, 8, nullptr, nullptr, 8, nullptr}) == invalid_arguments);
  EXPECT(gather_columns(nullptr, {1, -8, nullptr, nullptr, 8, nullptr}) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

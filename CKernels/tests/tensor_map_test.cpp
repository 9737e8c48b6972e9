// What the driver refuses is refused by the emulation too.

#include "device/tensor_map.h"

#include "tests/check.h"

namespace gpu::test {
namespace {

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

}  // namespace
}  // namespace gpu::test

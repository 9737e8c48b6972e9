// From masks and kept weights, as files have them, to the layout of sparse/sparse24.h; once when a model is
// loaded.

#include "device/device.h"
#include "sparse/sparse24.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;
constexpr uint32_t midpoint = 8;

struct ReorderCall {
  Sparse24ReorderArguments reorder;
  /// Of 32 k (codes: of 128), and of 64.
  int units;
  int spans;
  int blocks;
  int groups;
};

/// The nibble of mma.sp for a quad of a mask (device/mma_sparse.h): the places of its two bits, the lower
/// first. What is no pair, and what lies past the weight, counts as the places 0 and 1.
GPU_DEVICE uint32_t pair_of(const Sparse24ReorderArguments& p, int feature, int quad) {
  if (feature >= p.n || 4 * quad >= p.k) return 4;
  const uint32_t bits = p.mask[int64_t(feature) * ((p.k + 7) / 8) + quad / 2] >> (quad % 2 * 4) & 15;
  switch (bits) {
    case 0b0101:
      return 0x8;
    case 0b0110:
      return 0x9;
    case 0b1001:
      return 0xc;
    case 0b1010:
      return 0xd;
    case 0b1100:
      return 0xe;
    default:
      return 0x4;
  }
}

/// A thread makes one lane's word; block y is a block of 16 features.
GPU_KERNEL(block_threads, 8)
reorder_metadata_kernel(ReorderCall c) {
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int span = unit / warp_size, lane = unit % warp_size;
  const int feature = 16 * block_y() + lane / 4;
  const int first = 16 * span + lane % 4 / 2 * 8 + lane % 2 * 4;
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    word |= pair_of(c.reorder, feature, first + j) << (4 * j);
    word |= pair_of(c.reorder, feature + 8, first + j) << (16 + 4 * j);
  }
  c.reorder.metadata[(int64_t(block_y()) * c.spans + span) * warp_size + lane] = word;
}

/// A thread makes the 16 bytes of one lane; block y is a block of 16 features.
GPU_KERNEL(block_threads, 8)
reorder_values_kernel(ReorderCall c) {
  const Sparse24ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.units * warp_size) return;
  const int step = unit / warp_size, lane = unit % warp_size;
  const auto* values = static_cast<const uint16_t*>(p.values);
  Packed packed;
  GPU_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int feature = 16 * block_y() + lane / 4 + r % 2 * 8;
    packed.word[r] = 0;
    for (int i = 0; i < 2; ++i) {
      const int column = 16 * step + lane % 4 * 2 + r / 2 * 8 + i;
      if (feature < p.n && column < p.k / 2) {
        packed.word[r] |= uint32_t(values[int64_t(feature) * (p.k / 2) + column]) << (16 * i);
      }
    }
  }
  static_cast<Packed*>(p.packed)[(int64_t(block_y()) * c.units + step) * warp_size + lane] = packed;
}

/// The same of four steps of codes.
GPU_KERNEL(block_threads, 4)
reorder_codes_kernel(ReorderCall c) {
  const Sparse24ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.units * warp_size) return;
  const int first = unit / warp_size, lane = unit % warp_size;
  const int64_t words = (p.k / 2 + 7) / 8;
  Packed packed;
  GPU_UNROLL
  for (int s = 0; s < 4; ++s) {
    packed.word[s] = 0;
    for (int nibble = 0; nibble < 8; ++nibble) {
      const int feature = 16 * block_y() + lane / 4 + nibble / 2 % 2 * 8;
      const int column = 64 * first + 16 * s + lane % 4 * 2 + nibble % 2 * 8 + nibble / 4;
      uint32_t code = midpoint;
      if (feature < p.n && column < p.k / 2) {
        code = p.codes[feature * words + column / 8] >> (4 * (column % 8)) & 15;
      }
      packed.word[s] |= code << (4 * nibble);
    }
  }
  static_cast<Packed*>(p.packed)[(int64_t(block_y()) * c.units + first) * warp_size + lane] = packed;
}

/// A thread moves one scale and its zero; block y is a block of 16 features.
template <class Scale>
GPU_KERNEL(block_threads, 8)
reorder_scales_kernel(ReorderCall c) {
  const Sparse24ReorderArguments& p = c.reorder;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.groups * 16) return;
  const int group = unit / 16, place = unit % 16;
  const int feature = 16 * block_y() + place / 2 + place % 2 * 8;
  const int64_t source = int64_t(feature) * c.groups + group;
  const int64_t target = (int64_t(group) * c.blocks + block_y()) * 16 + place;
  const bool present = feature < p.n;
  static_cast<Scale*>(p.packed_scales)[target] =
      present ? static_cast<const Scale*>(p.scales)[source] : Scale(0);
  if (p.zeros) p.packed_zeros[target] = present ? p.zeros[source] : uint8_t(midpoint);
}

int rounded_up(int count, int unit) { return (count + unit - 1) / unit; }

}  // namespace

int64_t sparse24_value_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 32) * 512; }
int64_t sparse24_code_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 128) * 512; }
int64_t sparse24_metadata_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 64) * 128; }
int64_t sparse24_scale_count(int n, int k, int group) {
  return group > 0 ? int64_t(rounded_up(n, 16)) * 16 * rounded_up(k, group) : 0;
}

Status reorder_sparse24(Stream stream, const Sparse24ReorderArguments& a) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (a.n < 0 || a.k < 0 || a.k % 4 != 0 || a.n > most_features) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  if ((a.values == nullptr) == (a.codes == nullptr)) return invalid_arguments;
  if (a.codes) {
    if (a.group <= 0 || (a.group % 32 != 0 && a.group != a.k)) return invalid_arguments;
    if ((a.zeros == nullptr) != (a.packed_zeros == nullptr)) return invalid_arguments;
  }
  const ReorderCall c = {a, rounded_up(a.k, a.codes ? 128 : 32), rounded_up(a.k, 64), rounded_up(a.n, 16),
                         a.codes ? rounded_up(a.k, a.group) : 0};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {rounded_up(c.spans * warp_size, block_threads), c.blocks, 1};
  Status status = launch(stream, "reorder_metadata", shape, reorder_metadata_kernel, c);
  if (status != 0) return status;
  shape.grid.x = rounded_up(c.units * warp_size, block_threads);
  if (!a.codes) return launch(stream, "reorder_values", shape, reorder_values_kernel, c);
  status = launch(stream, "reorder_codes", shape, reorder_codes_kernel, c);
  if (status != 0) return status;
  shape.grid.x = rounded_up(c.groups * 16, block_threads);
  return a.scale_type == ScaleType::float32
             ? launch(stream, "reorder_scales<float>", shape, reorder_scales_kernel<float>, c)
             : launch(stream, "reorder_scales<16 bits>", shape, reorder_scales_kernel<uint16_t>, c);
}

}  // namespace gpu

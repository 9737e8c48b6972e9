// From rows of packed codes to the layout of gemm/w4a16.h, once when a model is loaded.

#include "device/device.h"
#include "gemm/w4a16.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;
constexpr uint32_t midpoint = 8;

struct RepackCall {
  Int4RepackArguments repack;
  int blocks;
  int spans;
  int groups;
};

/// A thread makes the 16 bytes of one lane; block y is a block of 16 features.
GPU_KERNEL(block_threads, 4)
repack_codes_kernel(RepackCall c) {
  const Int4RepackArguments& p = c.repack;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int span = unit / warp_size, lane = unit % warp_size;
  const int64_t words = (p.k + 7) / 8;
  Packed packed;
  GPU_UNROLL
  for (int s = 0; s < 4; ++s) {
    packed.word[s] = 0;
    for (int nibble = 0; nibble < 8; ++nibble) {
      const int feature = 16 * block_y() + lane / 4 + nibble / 2 % 2 * 8;
      const int k = 64 * span + 16 * s + lane % 4 * 2 + nibble % 2 * 8 + nibble / 4;
      uint32_t code = midpoint;
      if (feature < p.n && k < p.k) code = p.codes[feature * words + k / 8] >> (4 * (k % 8)) & 15;
      packed.word[s] |= code << (4 * nibble);
    }
  }
  static_cast<Packed*>(p.packed_codes)[(int64_t(block_y()) * c.spans + span) * warp_size + lane] = packed;
}

/// A thread moves one scale and its zero; block y is a block of 16 features.
template <class Scale>
GPU_KERNEL(block_threads, 8)
repack_scales_kernel(RepackCall c) {
  const Int4RepackArguments& p = c.repack;
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

int64_t int4_code_bytes(int n, int k) { return int64_t(rounded_up(n, 16)) * rounded_up(k, 64) * 512; }

int64_t int4_scale_count(int n, int k, int group) {
  return group > 0 ? int64_t(rounded_up(n, 16)) * 16 * rounded_up(k, group) : 0;
}

Status repack_int4(Stream stream, const Int4RepackArguments& a) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (a.n < 0 || a.k < 0 || a.n > most_features) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  if (a.group <= 0 || (a.group % 16 != 0 && a.group != a.k)) return invalid_arguments;
  if ((a.zeros == nullptr) != (a.packed_zeros == nullptr)) return invalid_arguments;
  const RepackCall c = {a, rounded_up(a.n, 16), rounded_up(a.k, 64), rounded_up(a.k, a.group)};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {rounded_up(c.spans * warp_size, block_threads), c.blocks, 1};
  Status status = launch(stream, "repack_codes", shape, repack_codes_kernel, c);
  if (status != 0) return status;
  shape.grid.x = rounded_up(c.groups * 16, block_threads);
  return a.scale_type == ScaleType::float32
             ? launch(stream, "repack_scales<float>", shape, repack_scales_kernel<float>, c)
             : launch(stream, "repack_scales<16 bits>", shape, repack_scales_kernel<uint16_t>, c);
}

}  // namespace gpu

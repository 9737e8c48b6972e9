// From rows of packed codes to the layout of gemm/wna16.h, once when a model is loaded.

#include "device/device.h"
#include "gemm/wna16.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct RepackCall {
  RepackArguments repack;
  int blocks;
  int spans;
  int groups;
};

template <WeightCode code>
GPU_DEVICE uint32_t code_at(const RepackArguments& p, int feature, int k) {
  if (feature >= p.n || k >= p.k) return 0;
  constexpr int bits = code_bits(code);
  const unsigned char* row = static_cast<const unsigned char*>(p.codes) + feature * p.code_stride;
  if constexpr (bits == 8) {
    return row[k];
  } else {
    const int64_t bit = int64_t(k) * bits;
    const uint32_t* words = reinterpret_cast<const uint32_t*>(row);
    uint32_t window = words[bit / 32] >> (bit % 32);
    if (32 % bits != 0 && bit % 32 + bits > 32) window |= words[bit / 32 + 1] << (32 - bit % 32);
    return window & ((1u << bits) - 1);
  }
}

/// The words of one lane's codes of a span, in the order of gemm/wna16.h.
template <WeightCode code, class Put>
GPU_DEVICE void put_code(uint32_t value, int s, int r, int half, Put put) {
  if constexpr (code == WeightCode::int4) {
    put(s, value << (4 * (4 * half + r / 2 + 2 * (r % 2))));
  } else if constexpr (code_bits(code) == 8) {
    put(2 * s + r / 2, value << (16 * half + 8 * (r % 2)));
  } else {
    put(s / 2, (value & 3u) << (16 * half + 2 * (4 * (s % 2) + r)));
    if constexpr (code == WeightCode::int3) put(2, value >> 2 << (16 * half + 4 * s + r));
  }
}

/// A thread makes the words of one lane of a span; block y is a block of 16 features.
template <WeightCode code>
GPU_KERNEL(block_threads, 4)
repack_codes_kernel(RepackCall c) {
  constexpr int words = code_bits(code);
  const RepackArguments& p = c.repack;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int span = unit / warp_size, lane = unit % warp_size;
  uint32_t word[words] = {};
  GPU_UNROLL
  for (int s = 0; s < 4; ++s) {
    GPU_UNROLL
    for (int i = 0; i < 8; ++i) {
      const int r = i / 2, half = i % 2;
      const int feature = 16 * block_y() + lane / 4 + r % 2 * 8;
      const int k = 64 * span + 16 * s + lane % 4 * 2 + r / 2 * 8 + half;
      put_code<code>(code_at<code>(p, feature, k), s, r, half,
                     [&](int index, uint32_t bits) { word[index] |= bits; });
    }
  }
  uint32_t* target =
      static_cast<uint32_t*>(p.packed_codes) + (int64_t(block_y()) * c.spans + span) * (warp_size * words);
  GPU_UNROLL
  for (int i = 0; i < words; ++i) {
    // Halves of 8 bits, the planes of 3, else a lane's words side by side.
    const int at = words == 8   ? i / 4 * (warp_size * 4) + lane * 4 + i % 4
                   : words == 3 ? (i < 2 ? lane * 2 + i : warp_size * 2 + lane)
                                : lane * words + i;
    target[at] = word[i];
  }
}

/// A thread moves one scale and its zero; block y is a block of 16 features.
template <class Scale>
GPU_KERNEL(block_threads, 8)
repack_scales_kernel(RepackCall c) {
  const RepackArguments& p = c.repack;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.groups * 16) return;
  const int group = unit / 16, place = unit % 16;
  const int feature = 16 * block_y() + place / 2 + place % 2 * 8;
  const int64_t source = int64_t(feature) * c.groups + group;
  const int64_t target = (int64_t(group) * c.blocks + block_y()) * 16 + place;
  const bool present = feature < p.n;
  static_cast<Scale*>(p.packed_scales)[target] =
      present ? static_cast<const Scale*>(p.scales)[source] : Scale(0);
  if (p.zeros) p.packed_zeros[target] = present ? p.zeros[source] : uint8_t(0);
}

int rounded_up(int count, int unit) { return (count + unit - 1) / unit; }

Status repack_codes(Stream stream, const LaunchShape& shape, const RepackCall& c) {
  switch (c.repack.code) {
    case WeightCode::int4:
      return launch(stream, "repack_codes<int4>", shape, repack_codes_kernel<WeightCode::int4>, c);
    case WeightCode::int2:
      return launch(stream, "repack_codes<int2>", shape, repack_codes_kernel<WeightCode::int2>, c);
    case WeightCode::int3:
      return launch(stream, "repack_codes<int3>", shape, repack_codes_kernel<WeightCode::int3>, c);
    case WeightCode::int8:
    case WeightCode::float8:
      return launch(stream, "repack_codes<8 bits>", shape, repack_codes_kernel<WeightCode::int8>, c);
  }
  return invalid_arguments;
}

}  // namespace

int64_t packed_code_bytes(WeightCode code, int n, int k) {
  return int64_t(rounded_up(n, 16)) * rounded_up(k, 64) * code_bits(code) * 128;
}

int64_t packed_scale_count(int n, int k, int group) {
  return group > 0 ? int64_t(rounded_up(n, 16)) * 16 * rounded_up(k, group) : 0;
}

Status repack(Stream stream, const RepackArguments& a) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (a.n < 0 || a.k < 0 || a.n > most_features) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  if (a.group <= 0 || (a.group % 16 != 0 && a.group != a.k)) return invalid_arguments;
  if ((a.zeros == nullptr) != (a.packed_zeros == nullptr)) return invalid_arguments;
  const int bits = code_bits(a.code);
  if (a.code_stride < (int64_t(a.k) * bits + 7) / 8) return invalid_arguments;
  if (bits != 8 && (a.code_stride % 4 != 0 || reinterpret_cast<uintptr_t>(a.codes) % 4 != 0)) {
    return invalid_arguments;
  }
  if (a.code == WeightCode::float8 && a.zeros) return invalid_arguments;
  const RepackCall c = {a, rounded_up(a.n, 16), rounded_up(a.k, 64), rounded_up(a.k, a.group)};
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {rounded_up(c.spans * warp_size, block_threads), c.blocks, 1};
  Status status = repack_codes(stream, shape, c);
  if (status != 0) return status;
  shape.grid.x = rounded_up(c.groups * 16, block_threads);
  return a.scale_type == ScaleType::float32
             ? launch(stream, "repack_scales<float>", shape, repack_scales_kernel<float>, c)
             : launch(stream, "repack_scales<16 bits>", shape, repack_scales_kernel<uint16_t>, c);
}

}  // namespace gpu

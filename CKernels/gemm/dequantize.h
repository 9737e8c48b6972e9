// From packed codes to a plain matrix, a lane's codes of a span at a time: one kernel for each kind of code.
#pragma once

#include "gemm/wna16_kernel.h"

namespace gpu {

constexpr int dequantize_threads = 128;

struct DequantizeCall {
  PackedWeight weight;
  /// [n, k] of T, rows `stride` elements apart, an even number
  void* output;
  int64_t stride;
  int blocks, spans;
};

template <class T, WeightCode code>
GPU_KERNEL(dequantize_threads, 4)
dequantize_kernel(DequantizeCall c) {
  using Reader = CodeReader<T, code>;
  const PackedWeight& w = c.weight;
  const int unit = block_x() * dequantize_threads + thread_index();
  if (unit >= c.spans * warp_size) return;
  const int block = block_y(), span = unit / warp_size, lane = unit % warp_size;
  const int g = lane / 4, q = lane % 4;
  const unsigned char* codes = static_cast<const unsigned char*>(w.codes);
  const auto words = Reader::load(codes + (int64_t(block) * c.spans + span) * span_bytes(code), lane);
  GPU_UNROLL
  for (int s = 0; s < 4; ++s) {
    const int first = 64 * span + 16 * s;
    if (first >= w.k) break;
    const auto constants = GroupConstants<T, code>::load(w, c.blocks, block, first / w.group, g);
    uint32_t pairs[4];
    Reader::fragment(pairs, words, s, constants.zero);
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) {
      const int feature = 16 * block + g + 8 * (r % 2), k = first + 2 * q + 8 * (r / 2);
      if (feature >= w.n || k >= w.k) continue;
      const float scale = constants.scale[r % 2];
      const float low = unpack_low<T>(pairs[r]) * scale, high = unpack_high<T>(pairs[r]) * scale;
      T* target = static_cast<T*>(c.output) + feature * c.stride + k;
      if (k + 1 < w.k) {
        *reinterpret_cast<uint32_t*>(target) = pack<T>(low, high);
      } else {
        *target = from_float<T>(low);
      }
    }
  }
}

template <class T>
Status run_dequantize(Stream stream, const DequantizeCall& c) {
  LaunchShape shape;
  shape.threads = dequantize_threads;
  shape.grid = {(c.spans * warp_size + dequantize_threads - 1) / dequantize_threads, c.blocks, 1};
  switch (c.weight.code) {
    case WeightCode::int4:
      return launch(stream, "dequantize<int4>", shape, dequantize_kernel<T, WeightCode::int4>, c);
    case WeightCode::int2:
      return launch(stream, "dequantize<int2>", shape, dequantize_kernel<T, WeightCode::int2>, c);
    case WeightCode::int3:
      return launch(stream, "dequantize<int3>", shape, dequantize_kernel<T, WeightCode::int3>, c);
    case WeightCode::int8:
      return launch(stream, "dequantize<int8>", shape, dequantize_kernel<T, WeightCode::int8>, c);
    case WeightCode::float8:
      return launch(stream, "dequantize<float8>", shape, dequantize_kernel<T, WeightCode::float8>, c);
  }
  return invalid_arguments;
}

}  // namespace gpu

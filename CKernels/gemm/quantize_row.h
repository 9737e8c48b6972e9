// One row of activations to codes of 8 bits, by all threads of a block, which read it twice.
#pragma once

#include "device/codes8.h"
#include "device/device.h"
#include "gemm/row_codes.h"

namespace gpu {

/// `input` is row `row`, `k` elements that every thread may read. `of_warps` is one word a warp of shared
/// memory that nobody else uses: the largest size of each warp, as bits.
template <class T, int block_threads>
GPU_DEVICE void quantize_row(const RowCodes& target, int64_t row, const T* input, int k, uint32_t* of_warps) {
  const bool is_float8 = target.code == RowCode::float8;
  // With E4M3 an infinity is no outlier either.
  const uint32_t threshold = is_float8 ? 0x7f800001u : bits_of(target.threshold);

  // Sizes as bits: greater ones are greater numbers, and a NaN, which no threshold leaves out, is the
  // greatest.
  uint32_t largest = 0;
  for (int i = thread_index(); i < k; i += block_threads) {
    const uint32_t size = bits_of(to_float(input[i])) & 0x7fffffffu;
    const bool is_kept = size < threshold || size > 0x7f800000u;
    if (is_kept && size > largest) largest = size;
  }
  GPU_UNROLL
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    const uint32_t other = shuffle_xor(largest, distance);
    largest = other > largest ? other : largest;
  }
  if (lane_index() == 0) of_warps[warp_index()] = largest;
  sync_block();
  for (int warp = 0; warp < block_threads / warp_size; ++warp) {
    largest = of_warps[warp] > largest ? of_warps[warp] : largest;
  }
  const float scale =
      target.fixed_scale != 0.0f ? target.fixed_scale : divide_rn(float_of(largest), largest_code(is_float8));
  if (thread_index() == 0) target.scales[row] = scale;

  // By its own scale no size is above 127.
  const float lowest = target.fixed_scale != 0.0f ? -128.0f : -127.0f;
  // A lane makes four codes of one word; two bits of the map belong to the 32 columns of eight lanes.
  const int row_bytes = int(code_row_bytes(k));
  uint32_t* codes = reinterpret_cast<uint32_t*>(target.codes + row * row_bytes);
  const int words = outlier_words(k);
  for (int word = warp_index(); word < words; word += block_threads / warp_size) {
    uint32_t map = 0;
    for (int step = 0; step < 4; ++step) {
      const int first = word * 512 + step * 128 + 4 * lane_index();
      uint32_t packed = 0;
      bool is_outlier = false;
      for (int i = 0; i < 4; ++i) {
        if (first + i >= k) break;
        const float x = to_float(input[first + i]);
        const uint32_t size = bits_of(x) & 0x7fffffffu;
        const bool is_out = size >= threshold && size <= 0x7f800000u;
        is_outlier |= is_out;
        // A row of zeros has no scale; a NaN has left its own in the row's.
        // int8 has no code for a NaN, nor for an infinity.
        const bool counts = !is_out && scale > 0.0f && (is_float8 || size < 0x7f800000u);
        if (!counts) continue;
        const float units = divide_rn(x, scale);
        const uint32_t code = !is_float8       ? int8_code(units, lowest)
                              : units == units ? float8_code(units)
                                               : float8_nan;
        packed |= code << (8 * i);
      }
      if (first < row_bytes) codes[first / 4] = packed;
      // Four lanes share a run of 16 columns: fold their votes into one bit each.
      const uint32_t votes = ballot(is_outlier);
      for (int run = 0; run < 8; ++run) {
        if ((votes >> (4 * run) & 15u) != 0) map |= 1u << (8 * step + run);
      }
    }
    if (lane_index() == 0 && !is_float8) target.outliers[row * words + word] = map;
  }
}

}  // namespace gpu

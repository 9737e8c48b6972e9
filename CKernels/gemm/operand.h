// How matrix products bring rows of 16-bit elements into shared memory.
#pragma once

#include "device/device.h"
#include "device/tile.h"

namespace gpu {

/// Brings `rows` rows of one operand, from row `first` of `limit` on and from column `k`, into a tile.
template <class T, class Shape, int rows, bool vectors>
GPU_DEVICE void copy_operand(unsigned char* tile, SharedAddress address, const void* operand, int64_t stride,
                             int first, int limit, int k, int k_end) {
  constexpr int chunks = Tile<Shape::depth>::chunks;
  constexpr int rows_a_step = Shape::threads / chunks;
  const int chunk = thread_index() % chunks;
  const int column = k + chunk * 8;
  const int left = k_end - column < 0 ? 0 : k_end - column > 8 ? 8 : k_end - column;
  const T* base = static_cast<const T*>(operand);
  GPU_UNROLL
  for (int step = 0; step < rows / rows_a_step; ++step) {
    const int row = step * rows_a_step + thread_index() / chunks;
    const int valid = first + row < limit ? left : 0;
    const T* source = valid > 0 ? base + (first + row) * stride + column : base;
    const SharedAddress offset = Tile<Shape::depth>::offset(row, chunk);
    if constexpr (vectors) {
      copy_async(address + offset, source, valid * int(sizeof(T)));
    } else {
      Packed packed;
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        packed.word[i] = 2 * i < valid ? source[2 * i].bits : 0u;
        if (2 * i + 1 < valid) packed.word[i] |= uint32_t(source[2 * i + 1].bits) << 16;
      }
      *reinterpret_cast<Packed*>(tile + offset) = packed;
    }
  }
}

}  // namespace gpu

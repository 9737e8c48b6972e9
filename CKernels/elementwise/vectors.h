// Rows in pieces: 16 bytes where width and pointers allow it, else one element.
#pragma once

#include "device/device.h"

namespace gpu {

/// `width` elements as floats: eight from one 16-byte access, or one.
template <class T, int width>
struct Piece {
  static_assert(width == 1 || width == 8, "a piece is one element or 16 bytes");
  float value[width];

  GPU_DEVICE static Piece load(const T* source) {
    Piece piece;
    if constexpr (width == 1) {
      piece.value[0] = to_float(*source);
    } else {
      Packed packed = *reinterpret_cast<const Packed*>(source);
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        piece.value[2 * i] = unpack_low<T>(packed.word[i]);
        piece.value[2 * i + 1] = unpack_high<T>(packed.word[i]);
      }
    }
    return piece;
  }

  GPU_DEVICE void store(T* target) const {
    if constexpr (width == 1) {
      *target = from_float<T>(value[0]);
    } else {
      Packed packed;
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) packed.word[i] = pack<T>(value[2 * i], value[2 * i + 1]);
      *reinterpret_cast<Packed*>(target) = packed;
    }
  }

  /// The value that a load after a store would give.
  GPU_DEVICE Piece rounded() const {
    Piece piece;
    GPU_UNROLL
    for (int i = 0; i < width; ++i) piece.value[i] = to_float(from_float<T>(value[i]));
    return piece;
  }
};

/// Whether all of `pointers` (null ones included) and a row of `elements` 16-bit elements allow 16-byte
/// accesses.
template <class... Pointers>
bool allows_vectors(int64_t elements, Pointers... pointers) {
  return elements % 8 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// The sum of `value` over the block, the same bits in every thread. `scratch` is one float a warp of shared
/// memory, which may be used again after the next barrier.
GPU_DEVICE float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (lane_index() == 0) scratch[warp_index()] = value;
  sync_block();
  float sum = 0;
  for (int warp = 0; warp < thread_count() / warp_size; ++warp) sum += scratch[warp];
  return sum;
}

}  // namespace gpu

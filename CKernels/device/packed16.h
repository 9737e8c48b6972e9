// Arithmetic on two 16-bit elements in a register, and what four-bit codes become by it.
#pragma once

#include "device/types.h"

namespace gpu {

/// a · b + c of both halves, rounded once (PTX fma.rn.f16x2, fma.rn.bf16x2; sm_80). The host rounds once too
/// as long as the exact result is a float, which holds for all small integers.
template <class T>
GPU_DEVICE uint32_t fma_pair(uint32_t a, uint32_t b, uint32_t c) {
#if GPU_ON_DEVICE
  uint32_t result;
  if constexpr (std::is_same_v<T, bf16>) {
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  } else {
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  }
  return result;
#else
  return pack<T>(unpack_low<T>(a) * unpack_low<T>(b) + unpack_low<T>(c),
                 unpack_high<T>(a) * unpack_high<T>(b) + unpack_high<T>(c));
#endif
}

/// Code minus zero, exactly, for the eight 4-bit codes of a word.
///
/// A code becomes the last bits of a constant's mantissa by one logical instruction, (word & mask) | constant
/// (LOP3 with the table 0xea), so that the pair's value is the constant's plus the code; one fused
/// multiply-add then takes the constant and the zero off. Nibbles i and i + 4 of the word make one pair:
///
/// ```
///   f16    0x6400 = 1024, unit 1    nibbles 0, 4 of word and of word >> 8:      1024 + code
///                                   nibbles 1, 5 of word and of word >> 8:      1024 + 16 · code
///   bf16   0x4300 =  128, unit 1    nibbles 0, 4 of word >> 0, 4, 8 and 12:      128 + code
/// ```
template <class T>
struct CodeOffsets;

template <>
struct CodeOffsets<f16> {
  uint32_t low, high;

  GPU_DEVICE static CodeOffsets of(uint32_t zero) {
    // −(1024 + zero), and −(64 + zero) with a unit of 1/16.
    return {(0xe400u + zero) * 0x10001u, (0xd400u + (zero << 4)) * 0x10001u};
  }
  /// Nibbles 0 and 4, 1 and 5.
  GPU_DEVICE uint32_t first(uint32_t word) const {
    return fma_pair<f16>((word & 0x000f000fu) | 0x64006400u, 0x3c003c00u, low);
  }
  GPU_DEVICE uint32_t second(uint32_t word) const {
    return fma_pair<f16>((word & 0x00f000f0u) | 0x64006400u, 0x2c002c00u, high);
  }
};

template <>
struct CodeOffsets<bf16> {
  uint32_t offset;

  GPU_DEVICE static CodeOffsets of(uint32_t zero) { return {(0xc300u + zero) * 0x10001u}; }
  GPU_DEVICE uint32_t first(uint32_t word) const {
    return fma_pair<bf16>((word & 0x000f000fu) | 0x43004300u, 0x3f803f80u, offset);
  }
  GPU_DEVICE uint32_t second(uint32_t word) const { return first(word >> 4); }
};

}  // namespace gpu

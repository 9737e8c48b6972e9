// Codes of 8 bits: int8, and E4M3 ("FP8 Formats for Deep Learning", arXiv 2209.05433), rounded to nearest
// even. Plain arithmetic, the same on every architecture: sm_80 has no instruction for E4M3.
#pragma once

#include "device/bits.h"
#include "device/rounded.h"

namespace gpu {

/// The greatest size of a code.
GPU_DEVICE float largest_code(bool is_float8) { return is_float8 ? 448.0f : 127.0f; }

/// The one that is no number; the other has the sign set.
constexpr uint32_t float8_nan = 0x7f;

/// The number that an E4M3 code without NaN stands for: exponent and mantissa moved into place, and the bias
/// put right by an exact product, for subnormal numbers too.
GPU_DEVICE float float8_value(uint32_t code) {
  const float size = multiply_rn(float_of((code & 127u) << 20), 0x1p120f);
  return float_of(bits_of(size) | (code & 128u) << 24);
}

GPU_DEVICE float code_value(uint32_t code, bool is_float8) {
  return is_float8 ? float8_value(code) : float(int(int8_t(code)));
}

/// The nearest E4M3 code of a number up to 448 in size.
GPU_DEVICE uint32_t float8_code(float value) {
  const uint32_t sign = bits_of(value) >> 24 & 128u;
  const uint32_t size = bits_of(value) & 0x7fffffffu;
  if (size >= 0x43e00000u) return sign | 0x7eu;
  // Below 2^-6 a code counts units of 2^-9: adding 2^14 leaves them, rounded, in the low bits.
  if (size < 0x3c800000u) return sign | (bits_of(add_rn(float_of(size), 0x1p14f)) & 255u);
  return sign | (((size + 0x7ffffu + (size >> 20 & 1u)) >> 20) - (120u << 3));
}

/// The nearest integer in `lowest ..< 128`.
GPU_DEVICE uint32_t int8_code(float value, float lowest = -127.0f) {
  const float bounded = value < lowest ? lowest : value > 127.0f ? 127.0f : value;
  // Adding 1.5 · 2^23 leaves the integer, rounded, in the low bits.
  return bits_of(add_rn(bounded, 0x1.8p23f)) & 255u;
}

GPU_DEVICE uint32_t code_of(float value, bool is_float8) {
  return is_float8 ? float8_code(value) : int8_code(value);
}

}  // namespace gpu

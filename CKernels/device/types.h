// The 16-bit element types, and 16-byte vectors of them.
//
// Both are plain structs of bits in both worlds: no CUDA header and no compiler extension is needed on the
// host, and conversions round to nearest even everywhere.
#pragma once

#include "device/bits.h"

namespace gpu {

struct bf16 {
  uint16_t bits;
};

struct f16 {
  uint16_t bits;
};

/// 16 bytes, loaded and stored by one instruction: eight elements.
struct alignas(16) Packed {
  uint32_t word[4];
};

GPU_DEVICE_OR_HOST float to_float(bf16 value) { return float_of(uint32_t(value.bits) << 16); }

GPU_DEVICE_OR_HOST float to_float(f16 value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  // Shifting exponent and mantissa into place leaves the exponent 112 too small, which one exact product
  // mends, for subnormal numbers too.
  uint32_t sign = uint32_t(value.bits & 0x8000) << 16;
  uint32_t magnitude = uint32_t(value.bits & 0x7fff) << 13;
  if (magnitude >= 0x0f800000u) return float_of(sign | magnitude | 0x7f800000u);
  return float_of(sign | bits_of(float_of(magnitude) * 0x1p112f));
#endif
}

GPU_DEVICE_OR_HOST float to_float(float value) { return value; }

/// Converts to `T`, rounding to nearest even; NaN stays NaN.
template <class T>
GPU_DEVICE_OR_HOST T from_float(float value);

template <>
GPU_DEVICE_OR_HOST float from_float<float>(float value) {
  return value;
}

template <>
GPU_DEVICE_OR_HOST bf16 from_float<bf16>(float value) {
#if defined(__CUDA_ARCH__)
  bf16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#else
  uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
#endif
}

template <>
GPU_DEVICE_OR_HOST f16 from_float<f16>(float value) {
#if defined(__CUDA_ARCH__)
  f16 result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#else
  uint32_t bits = bits_of(value);
  uint16_t sign = uint16_t((bits >> 16) & 0x8000u);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {0x7fff};
  if (magnitude >= 0x477ff000u) return {uint16_t(sign | 0x7c00u)};  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 puts the result's unit, 2^-24, at the last bit of the sum, which rounds it.
    uint32_t rounded = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    return {uint16_t(sign | rounded)};
  }
  uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return {uint16_t(sign | ((rounded - 0x38000000u) >> 13))};
#endif
}

/// Two elements in one register, `low` in the lower half: the unit of mma fragments.
template <class T>
GPU_DEVICE_OR_HOST uint32_t pack(float low, float high);

template <>
GPU_DEVICE_OR_HOST uint32_t pack<bf16>(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  return uint32_t(from_float<bf16>(low).bits) | uint32_t(from_float<bf16>(high).bits) << 16;
#endif
}

template <>
GPU_DEVICE_OR_HOST uint32_t pack<f16>(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  return uint32_t(from_float<f16>(low).bits) | uint32_t(from_float<f16>(high).bits) << 16;
#endif
}

template <class T>
GPU_DEVICE_OR_HOST float unpack_low(uint32_t pair) {
  return to_float(T{uint16_t(pair & 0xffffu)});
}

template <class T>
GPU_DEVICE_OR_HOST float unpack_high(uint32_t pair) {
  return to_float(T{uint16_t(pair >> 16)});
}

}  // namespace gpu

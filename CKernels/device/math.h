// The fast approximations of the special function unit, and the functions that must be exact.
//
// The host bodies of the approximations err on purpose, by about as much as the hardware does, so that no
// test comes to depend on their exact bits.
#pragma once

#include <cmath>

#include "device/bits.h"

namespace gpu {

constexpr float log2_e = 1.4426950408889634f;
constexpr float ln_2 = 0.6931471805599453f;

/// 2^x, relative error about 2^-22; subnormal results are zero (PTX ex2.approx.ftz.f32).
GPU_DEVICE float exp2_approximate(float x) {
#if GPU_ON_DEVICE
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return simt::exp2_approximate(x);
#endif
}

/// Relative error about 2^-11 (PTX tanh.approx.f32): for scores that are masked and normalised afterwards.
GPU_DEVICE float tanh_approximate(float x) {
#if GPU_ON_DEVICE
  float result;
  asm("tanh.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return simt::tanh_approximate(x);
#endif
}

GPU_DEVICE float exp_approximate(float x) { return exp2_approximate(x * log2_e); }

/// 1 / sqrt(x) within 2 units in the last place.
GPU_DEVICE float reciprocal_sqrt(float x) {
#if GPU_ON_DEVICE
  return rsqrtf(x);
#else
  return 1.0f / sqrtf(x);
#endif
}

/// x / y within 2 units in the last place; y at most 2^126.
GPU_DEVICE float divide_approximate(float x, float y) {
#if GPU_ON_DEVICE
  return __fdividef(x, y);
#else
  return x / y;
#endif
}

GPU_DEVICE float maximum(float a, float b) { return a > b ? a : b; }

/// Negative infinity; the value of a masked score.
GPU_DEVICE float negative_infinity() { return float_of(0xff800000u); }

}  // namespace gpu

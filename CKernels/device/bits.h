// The bits of a float as an integer, and back.
#pragma once

#include "device/platform.h"

namespace gpu {

GPU_DEVICE_OR_HOST uint32_t bits_of(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  return __builtin_bit_cast(uint32_t, value);
#endif
}

GPU_DEVICE_OR_HOST float float_of(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

/// 32 for zero.
GPU_DEVICE int leading_zeros(uint32_t value) {
#if GPU_ON_DEVICE
  return __clz(int(value));
#else
  return value ? __builtin_clz(value) : 32;
#endif
}

}  // namespace gpu

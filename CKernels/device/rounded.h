// Float operations rounded to nearest even one by one, and never contracted into a fused multiply-add: what
// the CPU computes, bit for bit. The host compiles with -ffp-contract=off.
#pragma once

#include <cmath>

#include "device/platform.h"

namespace gpu {

#if GPU_ON_DEVICE
GPU_DEVICE float add_rn(float a, float b) { return __fadd_rn(a, b); }
GPU_DEVICE float subtract_rn(float a, float b) { return __fsub_rn(a, b); }
GPU_DEVICE float multiply_rn(float a, float b) { return __fmul_rn(a, b); }
GPU_DEVICE float divide_rn(float a, float b) { return __fdiv_rn(a, b); }
GPU_DEVICE double multiply_rn(double a, double b) { return __dmul_rn(a, b); }
/// a · b + c, rounded once.
GPU_DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
#else
GPU_DEVICE float add_rn(float a, float b) { return a + b; }
GPU_DEVICE float subtract_rn(float a, float b) { return a - b; }
GPU_DEVICE float multiply_rn(float a, float b) { return a * b; }
GPU_DEVICE float divide_rn(float a, float b) { return a / b; }
GPU_DEVICE double multiply_rn(double a, double b) { return a * b; }
GPU_DEVICE float fma_rn(float a, float b, float c) { return fmaf(a, b, c); }
#endif

}  // namespace gpu

// The special function unit: right to about as many bits as the hardware, and deliberately to no more.

#include <cmath>

#include "device/bits.h"

namespace gpu::simt {
namespace {

/// A factor between 1 - error and 1 + error that depends on nothing but `x`.
float imprecision(float x, float error) {
  uint32_t hash = bits_of(x) * 0x9e3779b1u;
  return 1.0f + error * (float(hash >> 8) * 0x1p-23f - 1.0f);
}

}  // namespace

float exp2_approximate(float x) {
  float result = std::exp2(x) * imprecision(x, 0x1p-22f);
  return result < 0x1p-126f ? 0.0f : result;
}

float tanh_approximate(float x) {
  float result = std::tanh(x) * imprecision(x, 0x1p-11f);
  return result > 1.0f ? 1.0f : result < -1.0f ? -1.0f : result;
}

}  // namespace gpu::simt

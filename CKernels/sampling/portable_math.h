// Logarithm, exponential and Gumbel noise to the bit of Sources/Generation/Sampling/PortableMath.swift, which
// says how good they are and why they are made this way.
#pragma once

#include "device/bits.h"
#include "device/rounded.h"

namespace gpu {

constexpr float portable_ln2_high = 0.693359375f;
constexpr float portable_ln2_low = -2.12194440e-4f;

/// 2 artanh(s) for |s| ≤ 0.1716, by its series.
GPU_DEVICE float portable_twice_artanh(float s) {
  const float z = multiply_rn(s, s);
  float p = multiply_rn(z, 1.0f / 9.0f);
  p = multiply_rn(add_rn(p, 1.0f / 7.0f), z);
  p = multiply_rn(add_rn(p, 1.0f / 5.0f), z);
  p = multiply_rn(add_rn(p, 1.0f / 3.0f), z);
  const float twice = add_rn(s, s);
  return add_rn(twice, multiply_rn(twice, p));
}

/// Of a positive normal number.
GPU_DEVICE float portable_log(float x) {
  constexpr uint32_t root_half = 0x3f3504f3u;
  const uint32_t shifted = bits_of(x) + (0x3f800000u - root_half);
  const float k = float(int32_t(shifted >> 23) - 127);
  const float mantissa = float_of((shifted & 0x007fffffu) + root_half);
  const float ratio = divide_rn(subtract_rn(mantissa, 1.0f), add_rn(mantissa, 1.0f));
  return add_rn(multiply_rn(k, portable_ln2_high),
                add_rn(portable_twice_artanh(ratio), multiply_rn(k, portable_ln2_low)));
}

/// For −80 ≤ x ≤ 0; 0 below.
GPU_DEVICE float portable_exp(float x) {
  if (x < -80.0f) return 0.0f;
  constexpr float magic = 12582912.0f;
  const float n = subtract_rn(add_rn(multiply_rn(x, 1.442695041f), magic), magic);
  const float r =
      subtract_rn(subtract_rn(x, multiply_rn(n, portable_ln2_high)), multiply_rn(n, portable_ln2_low));
  float p = add_rn(multiply_rn(r, 1.0f / 5040.0f), 1.0f / 720.0f);
  p = add_rn(multiply_rn(p, r), 1.0f / 120.0f);
  p = add_rn(multiply_rn(p, r), 1.0f / 24.0f);
  p = add_rn(multiply_rn(p, r), 1.0f / 6.0f);
  p = add_rn(multiply_rn(p, r), 0.5f);
  p = add_rn(multiply_rn(p, r), 1.0f);
  p = add_rn(multiply_rn(p, r), 1.0f);
  return multiply_rn(p, float_of(uint32_t(int32_t(n) + 127) << 23));
}

/// e^x in units of 2⁻⁴⁰, truncated.
GPU_DEVICE uint64_t portable_weight(float x) {
  return uint64_t(multiply_rn(portable_exp(x), 1099511627776.0f));
}

/// Standard Gumbel noise of one random word.
GPU_DEVICE float portable_gumbel(uint32_t word) {
  constexpr float scale = 0x1p-32f;
  float race;
  if (word < 0x40000000u) {
    const float v = multiply_rn(add_rn(float(word), 0.5f), scale);
    race = portable_twice_artanh(divide_rn(v, subtract_rn(2.0f, v)));
  } else {
    const float u = multiply_rn(add_rn(float(~word), 0.5f), scale);
    race = -portable_log(u);
  }
  return -portable_log(race);
}

/// Not less than the noise of a word with so many leading zeros.
GPU_DEVICE float portable_gumbel_bound(int leading_zeros) {
  return add_rn(multiply_rn(float(leading_zeros + 1), 0.69315f), 0.001f);
}

/// No word gives more noise.
constexpr float portable_largest_gumbel = 22.9f;

/// Order of floats as unsigned integers, −0 equal to +0.
GPU_DEVICE uint32_t sortable(float value) {
  const uint32_t bits = bits_of(add_rn(value, 0.0f));
  return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

GPU_DEVICE float value_of_sortable(uint32_t bits) {
  return float_of(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

/// A candidate as one integer: a larger key comes earlier, by logit and then by lower id.
///
/// ```
/// 63             32 31              0
/// | sortable logit |      ~id       |
/// ```
GPU_DEVICE uint64_t candidate_key(float logit, int token) {
  return uint64_t(sortable(logit)) << 32 | ~uint32_t(token);
}
GPU_DEVICE int candidate_token(uint64_t key) { return int(~uint32_t(key)); }
GPU_DEVICE float candidate_logit(uint64_t key) { return value_of_sortable(uint32_t(key >> 32)); }

}  // namespace gpu

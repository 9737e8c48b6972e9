// Products of bfloat16 pairs, added up in float32, with the bits of one instruction on every processor.
//
//   packed input    | x0 x1 | x2 x3 | … | x30 x31 |     32 bfloat16 = the bytes of one f32x16
//   packed weight   | w0 w1 | w2 w3 | … | w30 w31 |
//   sum[i] = fma(x[2i], w[2i], fma(x[2i + 1], w[2i + 1], sum[i]))
//
// This is vdpbf16ps (Intel SDM vol. 2): odd element first, each step a fused multiply-add rounded to nearest
// even, denormal operands taken as zero, denormal results flushed to zero, the control register ignored.
#pragma once

#include "vector.h"

#if defined(GPI_NATIVE_BFLOAT16_DOT)
#include <immintrin.h>

INLINE f32x16 dot_pairs(f32x16 x, f32x16 w, f32x16 sum) {
  return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}
#else
#define SIGN_BIT INT32_MIN

INLINE f32x16 flush(f32x16 value) {
  i32x16 bits = (i32x16)value;
  return (f32x16)(bits & (SIGN_BIT | ~((bits & 0x7F800000) == 0)));
}

/// Operands are flushed already. A result is tiny if rounding it with unbounded exponents leaves it below
/// 2^-126: seen 2^24 higher, where the product (16 bits) and the sum still round alike. What overflows there
/// was not tiny, and NaN compares false.
INLINE f32x16 flushing_fma(f32x16 a, f32x16 b, f32x16 c) {
  f32x16 result = fma16(a, b, c);
  f32x16 high = fma16(a * 0x1p24f, b, c * 0x1p24f);
  i32x16 tiny = (f32x16)((i32x16)high & INT32_MAX) < splat(0x1p-102f);
  return (f32x16)((i32x16)result & (SIGN_BIT | ~tiny));
}

INLINE f32x16 dot_pairs(f32x16 x, f32x16 w, f32x16 sum) {
  const i32x16 odd = (i32x16){0} - 0x10000;  // the upper half of each lane
  f32x16 upper = flushing_fma(flush((f32x16)((i32x16)x & odd)), flush((f32x16)((i32x16)w & odd)), flush(sum));
  return flushing_fma(flush((f32x16)((u32x16)x << 16)), flush((f32x16)((u32x16)w << 16)), upper);
}
#endif

/// Rounds to nearest, ties to even; a NaN stays one. The same integer arithmetic everywhere: the hardware's
/// conversion would flush denormals first.
INLINE u16x16 round_bfloat16(f32x16 value) {
  u32x16 bits = (u32x16)value;
  u32x16 rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  u32x16 quiet = (bits >> 16) | 0x40;
  u32x16 is_nan = (u32x16)((bits & INT32_MAX) > 0x7F800000u);
  return __builtin_convertvector((quiet & is_nan) | (rounded & ~is_nan), u16x16);
}

// Sixteen float lanes as one value. The compiler splits it into what the instruction set has (one zmm, two
// ymm, four NEON registers); each lane sees the same operations everywhere, so every build gives the same
// bits.
//
// Included once per instruction set, inside a target attribute.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "include/gpi_cpu.h"

#define LANES 16
#define INLINE static inline __attribute__((always_inline))
// Register tiles are arrays whose loops must be unrolled before they can live in registers.
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float f32x16 __attribute__((vector_size(64)));
typedef double f64x16 __attribute__((vector_size(128)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint16_t u16x32 __attribute__((vector_size(64)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef float f32x2 __attribute__((vector_size(8)));
typedef double f64x8 __attribute__((vector_size(64)));
typedef double f64x4 __attribute__((vector_size(32)));
typedef double f64x2 __attribute__((vector_size(16)));
// Weights in a mapped file may start at any byte.
typedef float f32x16_any __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint16_t u16x16_any __attribute__((vector_size(32), aligned(1), may_alias));

INLINE f32x16 splat(float value) {
  return (f32x16){value, value, value, value, value, value, value, value,
                  value, value, value, value, value, value, value, value};
}
INLINE f32x16 load(const void* source) { return *(const f32x16_any*)source; }
INLINE void store(void* destination, f32x16 value) { *(f32x16_any*)destination = value; }
INLINE f32x16 fma16(f32x16 a, f32x16 b, f32x16 c) { return __builtin_elementwise_fma(a, b, c); }
INLINE f32x16 pick(i32x16 mask, f32x16 yes, f32x16 no) {
  return (f32x16)(((i32x16)yes & mask) | ((i32x16)no & ~mask));
}
INLINE f32x16 smaller(f32x16 a, f32x16 b) { return pick(b < a, b, a); }
INLINE f32x16 larger(f32x16 a, f32x16 b) { return pick(b > a, b, a); }

INLINE f32x16 widen_bfloat16(u16x16 bits) { return (f32x16)(__builtin_convertvector(bits, u32x16) << 16); }

#if defined(GPI_NATIVE_FLOAT16)
typedef _Float16 f16x16 __attribute__((vector_size(32)));
INLINE f32x16 widen_float16(u16x16 bits) { return __builtin_convertvector((f16x16)bits, f32x16); }
#else
// Moves exponent and mantissa into place and corrects the bias by a multiplication, which also normalises
// subnormals.
INLINE f32x16 widen_float16(u16x16 bits) {
  u32x16 wide = __builtin_convertvector(bits, u32x16);
  u32x16 magnitude = (wide & 0x7FFF) << 13;
  f32x16 value = (f32x16)magnitude * 0x1p112f;
  i32x16 special = (i32x16)(magnitude >= (0x7C00u << 13));  // infinity or NaN, quiet as the hardware makes it
  u32x16 quiet = (u32x16)(magnitude > (0x7C00u << 13)) & 0x00400000;
  value = pick(special, (f32x16)(magnitude | 0x7F800000 | quiet), value);
  return (f32x16)((u32x16)value | ((wide & 0x8000) << 16));
}
#endif

INLINE size_t type_bytes(gpi_type type) { return type == GPI_FLOAT32 ? 4 : 2; }

/// Sixteen elements from element `index` on.
INLINE f32x16 load_wide(const void* data, size_t index, gpi_type type) {
  if (type == GPI_FLOAT32) return load((const char*)data + 4 * index);
  u16x16 bits = *(const u16x16_any*)((const char*)data + 2 * index);
  return type == GPI_FLOAT16 ? widen_float16(bits) : widen_bfloat16(bits);
}

/// The same for the last `count` < 16 elements; the other lanes are 0 and nothing behind them is read.
INLINE f32x16 load_wide_tail(const void* data, size_t index, size_t count, gpi_type type) {
  char padded[64] = {0};
  memcpy(padded, (const char*)data + type_bytes(type) * index, type_bytes(type) * count);
  return load_wide(padded, 0, type);
}

INLINE float load_one(const void* data, size_t index, gpi_type type) {
  if (type == GPI_FLOAT32) return ((const float*)data)[index];
  return load_wide_tail(data, index, 1, type)[0];
}

INLINE f32x16 load_tail(const float* source, size_t count) {
  return load_wide_tail(source, 0, count, GPI_FLOAT32);
}
INLINE void store_tail(float* destination, f32x16 value, size_t count) {
  float all[LANES];
  store(all, value);
  memcpy(destination, all, count * sizeof(float));
}

// The one reduction tree: lane i with i + 8, then i + 4, i + 2, i + 1.
#define FOLD(v, combine, width8, width4, width2)                                                         \
  width8 h8 = combine(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),                             \
                      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));                      \
  width4 h4 =                                                                                            \
      combine(__builtin_shufflevector(h8, h8, 0, 1, 2, 3), __builtin_shufflevector(h8, h8, 4, 5, 6, 7)); \
  width2 h2 = combine(__builtin_shufflevector(h4, h4, 0, 1), __builtin_shufflevector(h4, h4, 2, 3))
#define PLUS(a, b) ((a) + (b))
INLINE float sum16(f32x16 v) {
  FOLD(v, PLUS, f32x8, f32x4, f32x2);
  return h2[0] + h2[1];
}
INLINE double sum16_double(f64x16 v) {
  FOLD(v, PLUS, f64x8, f64x4, f64x2);
  return h2[0] + h2[1];
}
// Of two lanes with a NaN, either may win: a NaN score makes its own weight NaN whatever the maximum is.
INLINE float max16(f32x16 v) {
  FOLD(v, __builtin_elementwise_max, f32x8, f32x4, f32x2);
  return h2[0] > h2[1] ? h2[0] : h2[1];
}

/// Eight sums at once by the tree of `sum16`: a third of the instructions.
INLINE f32x8 sum16_by_8(f32x16 a, f32x16 b, f32x16 c, f32x16 d, f32x16 e, f32x16 f, f32x16 g, f32x16 h) {
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_4 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#define LOW_2 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29
#define HIGH_2 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31
  f32x16 ab = __builtin_shufflevector(a, b, LOW_8) + __builtin_shufflevector(a, b, HIGH_8);
  f32x16 cd = __builtin_shufflevector(c, d, LOW_8) + __builtin_shufflevector(c, d, HIGH_8);
  f32x16 ef = __builtin_shufflevector(e, f, LOW_8) + __builtin_shufflevector(e, f, HIGH_8);
  f32x16 gh = __builtin_shufflevector(g, h, LOW_8) + __builtin_shufflevector(g, h, HIGH_8);
  f32x16 abcd = __builtin_shufflevector(ab, cd, LOW_4) + __builtin_shufflevector(ab, cd, HIGH_4);
  f32x16 efgh = __builtin_shufflevector(ef, gh, LOW_4) + __builtin_shufflevector(ef, gh, HIGH_4);
  f32x16 all = __builtin_shufflevector(abcd, efgh, LOW_2) + __builtin_shufflevector(abcd, efgh, HIGH_2);
  return __builtin_shufflevector(all, all, 0, 2, 4, 6, 8, 10, 12, 14) +
         __builtin_shufflevector(all, all, 1, 3, 5, 7, 9, 11, 13, 15);
}

/// e^x within 1.5 units in the last place; 0 below −104, infinity above 88.73. Taylor terms to r^7 on |r| ≤
/// ln 2 / 2.
INLINE f32x16 exp16(f32x16 x) {
  x = larger(smaller(x, splat(89.0f)), splat(-104.0f));
  const f32x16 round = splat(0x1.8p23f);  // adding it leaves the nearest integer in the low mantissa bits
  f32x16 shifted = fma16(x, splat(0x1.715476p+0f), round);
  f32x16 n = shifted - round;
  f32x16 r = fma16(n, splat(-0x1.62e400p-1f), x);  // ln 2 in two parts, the first with zeros at its end
  r = fma16(n, splat(-0x1.7f7d1cp-20f), r);
  f32x16 p = splat(1.0f / 5040);
  p = fma16(p, r, splat(1.0f / 720));
  p = fma16(p, r, splat(1.0f / 120));
  p = fma16(p, r, splat(1.0f / 24));
  p = fma16(p, r, splat(1.0f / 6));
  p = fma16(p, r, splat(0.5f));
  p = fma16(p, r, splat(1.0f));
  p = fma16(p, r, splat(1.0f));
  // 2^n in two factors, so that n = 128 and subnormal results come out right.
  i32x16 exponent = (i32x16)shifted - (i32x16)round;
  i32x16 half = exponent >> 1;
  return p * (f32x16)((half + 127) << 23) * (f32x16)((exponent - half + 127) << 23);
}

/// tanh x: an odd polynomial (minimax fit, 1.4e-8) up to 0.625, where 1 − 2 / (e^2x + 1) would cancel.
INLINE f32x16 tanh16(f32x16 x) {
  i32x16 sign = (i32x16)x & INT32_MIN;
  f32x16 size = (f32x16)((i32x16)x ^ sign);
  f32x16 z = x * x;
  f32x16 p = splat(-0x1.8f07bep-8f);
  p = fma16(p, z, splat(0x1.57ea1cp-6f));
  p = fma16(p, z, splat(-0x1.b92244p-5f));
  p = fma16(p, z, splat(0x1.110e0cp-3f));
  p = fma16(p, z, splat(-0x1.555552p-2f));
  f32x16 near = fma16(p * z, x, x);
  f32x16 far = 1.0f - 2.0f / (exp16(size + size) + 1.0f);
  far = (f32x16)((i32x16)far | sign);
  return pick(size < splat(0.625f), near, far);
}

INLINE f32x16 silu16(f32x16 x) { return x / (1.0f + exp16(-x)); }

/// x · Φ(x) = max(x, 0) − |x| Φ(−|x|). Φ(−t) e^(t²/2) is smooth: a polynomial in (t − 3) / (t + 3), minimax
/// fit 6.3e-8.
INLINE f32x16 gelu16(f32x16 x) {
  f32x16 size = (f32x16)((i32x16)x & INT32_MAX);
  f32x16 t = smaller(size, splat(16.0f));
  f32x16 y = (t - 3.0f) / (t + 3.0f);
  f32x16 p = splat(-0x1.522d24p-19f);
  p = fma16(p, y, splat(0x1.a4ddp-15f));
  p = fma16(p, y, splat(0x1.ec787ep-14f));
  p = fma16(p, y, splat(-0x1.6035660p-12f));
  p = fma16(p, y, splat(-0x1.01fc9p-10f));
  p = fma16(p, y, splat(0x1.7c8a72p-9f));
  p = fma16(p, y, splat(0x1.91df66p-8f));
  p = fma16(p, y, splat(-0x1.7a93f2p-5f));
  p = fma16(p, y, splat(0x1.f8bad0p-4f));
  p = fma16(p, y, splat(-0x1.a6b66cp-3f));
  p = fma16(p, y, splat(0x1.f1b89cp-4f));
  // e^(−t²/2) with the rounding error of t² put back.
  f32x16 square = t * t;
  f32x16 error = fma16(t, t, -square);
  f32x16 tail = exp16(square * -0.5f) * fma16(error, splat(-0.5f), splat(1.0f)) * p;
  return larger(x, splat(0.0f)) - t * tail;
}

/// x / (1 + e^(−2u)) = x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³).
INLINE f32x16 gelu_tanh16(f32x16 x) {
  f32x16 inner = fma16(x * x * x, splat(0.044715f), x);
  return x / (1.0f + exp16(inner * (-2.0f * 0.7978845608028654f)));
}

// Sparse weights to float32, sixteen inputs at a time. Included by stored_decode.h.
//
//   inputs      k … k+15          mask, 2 bytes      1 0 0 1 | 0 1 1 0 | 0 0 1 1 | 1 1 0 0
//   kept        a b c d e f g h   (2:4: always 8)    a . . b | . c d . | . . e f | g h . .     = expand
//
// A value is widened, and codes are scaled, as the store's own `copyRow` does it; what is not kept is +0, as
// it is in the dense weight, so both give the same bits.
#pragma once

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef u16x8 u16x8_any __attribute__((aligned(1), may_alias));

/// One row: its mask, and its kept values up to the end of the row (2:4) or of all values.
typedef struct {
  const uint8_t* mask;
  const char* values;
  size_t bytes;
} sparse_row;

INLINE size_t sparse_unit(const gpi_store_args* s) { return s->bits ? 4 : type_bytes(s->value_type); }

INLINE sparse_row sparse_row_at(const gpi_store_args* s, size_t n) {
  size_t start = s->starts ? (size_t)s->starts[n] * sparse_unit(s) : n * s->row_bytes;
  return (sparse_row){s->mask + n * s->mask_bytes, (const char*)s->codes + start, s->code_bytes - start};
}

/// The bits of inputs `k ..< k + 16`, k a multiple of 16; behind the row they are 0.
INLINE uint32_t sparse_mask(const gpi_store_args* s, sparse_row row, size_t k) {
  if (k / 8 + 2 <= s->mask_bytes) {
    uint16_t bits;
    memcpy(&bits, row.mask + k / 8, 2);
    return bits;
  }
  return row.mask[k / 8];
}

/// Values kept before input `k`, a multiple of 16.
INLINE size_t sparse_kept(const gpi_store_args* s, sparse_row row, size_t k) {
  if (!s->starts) return k / 2;
  size_t count = 0, byte = 0;
  for (; byte + 8 <= k / 8; byte += 8) {
    uint64_t bits;
    memcpy(&bits, row.mask + byte, 8);
    count += (size_t)__builtin_popcountll(bits);
  }
  for (; byte < k / 8; byte++) count += (size_t)__builtin_popcount(row.mask[byte]);
  return count;
}

/// Lane i gets the next lane of `kept` where bit i is set, and 0 where not.
INLINE f32x16 expand(uint32_t mask, f32x16 kept) {
#if defined(GPI_NATIVE_AVX512)
  return (f32x16)_mm512_maskz_expand_ps((__mmask16)mask, (__m512)kept);
#else
  float values[LANES], result[LANES];
  store(values, kept);
  for (int i = 0, next = 0; i < LANES; i++) {
    int bit = (int)(mask >> i & 1);
    result[i] = bit ? values[next] : 0;
    next += bit;
  }
  return load(result);
#endif
}

INLINE f32x16 keep_lanes(uint32_t mask, f32x16 value) {
#if defined(GPI_NATIVE_AVX512)
  return (f32x16)_mm512_maskz_mov_ps((__mmask16)mask, (__m512)value);
#else
  const u32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return pick((i32x16)(((mask >> lane) & 1) != 0), value, splat(0));
#endif
}

/// Kept floats from `at` on, of which `count` are wanted; the other lanes hold anything.
INLINE f32x16 kept_floats(const int two_of_four, const gpi_type type, sparse_row row, size_t at,
                          size_t count) {
  size_t total = row.bytes / type_bytes(type);
  if (two_of_four && type != GPI_FLOAT32 && at + 8 <= total) {
    u16x8 eight = *(const u16x8_any*)(row.values + 2 * at);
    u16x16 bits =
        __builtin_shufflevector(eight, (u16x8){0}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return type == GPI_FLOAT16 ? widen_float16(bits) : widen_bfloat16(bits);
  }
  if (at + LANES <= total) return load_wide(row.values, at, type);
  return load_wide_tail(row.values, at, count < total - at ? count : total - at, type);
}

/// The codes from `at` on, as many as there are up to sixteen.
INLINE u32x16 kept_codes(const int bits, sparse_row row, size_t at) {
  if (bits == 8) return __builtin_convertvector(load_bytes(row.values, at, row.bytes), u32x16);
  size_t bit = at * (size_t)bits, byte = bit / 8;
  uint64_t words[2] = {0, 0};
  if (byte < row.bytes) memcpy(words, row.values + byte, row.bytes - byte < 16 ? row.bytes - byte : 16);
  uint64_t window = words[0] >> bit % 8;
  if (bit % 8) window |= words[1] << (64 - bit % 8);
  u64x16 all = (u64x16){0} + window;
  u64x16 shifts = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return __builtin_convertvector(all >> shifts * (uint64_t)bits & ((1u << bits) - 1), u32x16);
}

/// Inputs `k ..< k + 16` of a row, whose kept values begin at `*at`; moves `*at` behind them.
INLINE f32x16 sparse_step(const int bits, const int two_of_four, const gpi_type type, const gpi_store_args* s,
                          sparse_row row, const run_scales* scales, size_t k, size_t k0, size_t* at) {
  uint32_t mask = sparse_mask(s, row, k);
  size_t count = (size_t)__builtin_popcount(mask), first = *at;
  *at = two_of_four ? first + 8 : first + count;
  if (!bits) return expand(mask, kept_floats(two_of_four, type, row, first, count));
  f32x16 codes = expand(mask, to_float(kept_codes(bits, row, first)));
  f32x16 zero = group_lanes(scales->zero, s, k, k0, 1);
  return keep_lanes(mask, (codes - zero) * group_lanes(scales->scale, s, k, k0, 1));
}

/// The bits of inputs `k ..< k + 32`, all of which the row has.
INLINE uint32_t sparse_mask_32(sparse_row row, size_t k) {
  uint32_t bits;
  memcpy(&bits, row.mask + k / 8, 4);
  return bits;
}

#if defined(GPI_NATIVE_EXPAND16)
/// Inputs `k ..< k + 32`, all of which the row has, as their 16 bits; moves `*at` behind the values kept
/// there.
INLINE u16x32 sparse_halves(const int two_of_four, const gpi_store_args* s, sparse_row row, size_t k,
                            size_t* at) {
  uint32_t mask = sparse_mask_32(row, k);
  size_t count = two_of_four ? 16 : (size_t)__builtin_popcount(mask);
  const char* values = row.values + 2 * *at;
  *at += count;
  (void)s;
  __m512i kept = two_of_four ? _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i_u*)values))
                             : _mm512_maskz_loadu_epi16((uint32_t)(((uint64_t)1 << count) - 1), values);
  return (u16x32)_mm512_maskz_expand_epi16(mask, kept);
}

/// Sixteen of them in float32, from lane `16 · half` on.
INLINE f32x16 widen_sixteen(const gpi_type type, const int half, u16x32 halves) {
  if (type == GPI_FLOAT16)
    return widen_float16((u16x16)(half ? _mm512_extracti64x4_epi64((__m512i)halves, 1)
                                       : _mm512_castsi512_si256((__m512i)halves)));
  // Each goes to the upper half of its lane.
  const u16x32 low = {0, 0, 0, 1, 0, 2,  0, 3,  0, 4,  0, 5,  0, 6,  0, 7,
                      0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
  __m512i lanes = (__m512i)(half ? low + 16 : low);
  return (f32x16)_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, lanes, (__m512i)halves);
}
#endif

/// Inputs `k ..< k + 32`, all of which the row has, as two steps.
INLINE void sparse_steps(const int bits, const int two_of_four, const gpi_type type, const gpi_store_args* s,
                         sparse_row row, const run_scales* scales, size_t k, size_t k0, size_t* at,
                         f32x16 weights[2]) {
#if defined(GPI_NATIVE_EXPAND16)
  if (!bits && type != GPI_FLOAT32) {
    u16x32 halves = sparse_halves(two_of_four, s, row, k, at);
    weights[0] = widen_sixteen(type, 0, halves);
    weights[1] = widen_sixteen(type, 1, halves);
    return;
  }
#endif
  weights[0] = sparse_step(bits, two_of_four, type, s, row, scales, k, k0, at);
  weights[1] = sparse_step(bits, two_of_four, type, s, row, scales, k + LANES, k0, at);
}

/// Calls `body` with the kind of a sparse store as constants.
#define WITH_SPARSE(s, body)           \
  switch ((s)->bits) {                 \
    case 0:                            \
      switch ((s)->value_type) {       \
        case GPI_FLOAT32:              \
          if ((s)->starts)             \
            body(0, 0, GPI_FLOAT32);   \
          else                         \
            body(0, 1, GPI_FLOAT32);   \
          break;                       \
        case GPI_FLOAT16:              \
          if ((s)->starts)             \
            body(0, 0, GPI_FLOAT16);   \
          else                         \
            body(0, 1, GPI_FLOAT16);   \
          break;                       \
        case GPI_BFLOAT16:             \
          if ((s)->starts)             \
            body(0, 0, GPI_BFLOAT16);  \
          else                         \
            body(0, 1, GPI_BFLOAT16);  \
          break;                       \
      }                                \
      break;                           \
    case 4:                            \
      body(4, 0, GPI_FLOAT32);         \
      break;                           \
    case 8:                            \
      body(8, 0, GPI_FLOAT32);         \
      break;                           \
    default:                           \
      body((s)->bits, 0, GPI_FLOAT32); \
      break;                           \
  }

INLINE void decode_sparse_as(const int bits, const int two_of_four, const gpi_type type,
                             const gpi_store_args* s, size_t n, size_t k0, size_t stop, float* out,
                             size_t step) {
  sparse_row row = sparse_row_at(s, n);
  run_scales scales;
  if (bits) load_run_scales(s, n, k0, stop, &scales);
  size_t at = sparse_kept(s, row, k0);
  size_t k = k0;
  for (; k + 2 * LANES <= stop; k += 2 * LANES, out += 2 * step) {
    f32x16 weights[2];
    sparse_steps(bits, two_of_four, type, s, row, &scales, k, k0, &at, weights);
    store(out, weights[0]);
    store(out + step, weights[1]);
  }
  for (; k < stop; k += LANES, out += step)
    store(out, sparse_step(bits, two_of_four, type, s, row, &scales, k, k0, &at));
}

INLINE void decode_sparse(const gpi_store_args* s, size_t n, size_t k0, size_t stop, float* out,
                          size_t step) {
#define DECODE(bits, two_of_four, type) decode_sparse_as(bits, two_of_four, type, s, n, k0, stop, out, step)
  WITH_SPARSE(s, DECODE)
#undef DECODE
}

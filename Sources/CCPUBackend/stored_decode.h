// Quantised weights to float32. Each value is rounded as the store's own `copyRow` rounds it; the order is
// the packed one of stored.h.
#pragma once

#include "include/gpi_stores.h"
#include "kernels.h"
#include "vector.h"

/// Inputs of one run; a multiple of every block (256 at most).
#define STORED_RUN 1024
/// Scales of a run at the smallest group, 16, one more for a run that begins inside a group, and room behind.
#define RUN_GROUPS (STORED_RUN / 16 + 32)

typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint64_t u64x16 __attribute__((vector_size(128)));
typedef u32x16 u32x16_any __attribute__((aligned(1), may_alias));
typedef u8x16 u8x16_any __attribute__((aligned(1), may_alias));

/// Scales and zeros of the groups of one run of one output, widened.
typedef struct {
  float scale[RUN_GROUPS];
  float zero[RUN_GROUPS];
} run_scales;

INLINE f32x16 counting(void) { return (f32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

/// `table[index & 15]` in each lane.
INLINE f32x16 look_up(f32x16 table, u32x16 index) {
#if defined(GPI_NATIVE_AVX512)
  return (f32x16)_mm512_permutexvar_ps((__m512i)index, (__m512)table);
#else
  float values[LANES], result[LANES];
  store(values, table);
  for (int i = 0; i < LANES; i++) result[i] = values[index[i] & 15];
  return load(result);
#endif
}

INLINE f32x16 to_float(u32x16 codes) { return __builtin_convertvector((i32x16)codes, f32x16); }
INLINE f32x16 bytes_to_float(u8x16 codes) { return to_float(__builtin_convertvector(codes, u32x16)); }
INLINE f32x16 signed_to_float(i8x16 codes) {
  return __builtin_convertvector(__builtin_convertvector(codes, i32x16), f32x16);
}

INLINE float half_value(const void* source) {
#if defined(GPI_NATIVE_FLOAT16)
  _Float16 half;
  memcpy(&half, source, 2);
  return (float)half;
#else
  return load_one(source, 0, GPI_FLOAT16);
#endif
}

/// Sixteen words from a byte of a row on; behind the row they are 0 and not read.
INLINE u32x16 load_words(const char* row, size_t byte, size_t row_bytes) {
  if (byte + 64 <= row_bytes) return *(const u32x16_any*)(row + byte);
  u32x16 padded = {0};
  if (byte < row_bytes) memcpy(&padded, row + byte, row_bytes - byte);
  return padded;
}

INLINE u8x16 load_bytes(const char* row, size_t byte, size_t row_bytes) {
  if (byte + 16 <= row_bytes) return *(const u8x16_any*)(row + byte);
  u8x16 padded = {0};
  if (byte < row_bytes) memcpy(&padded, row + byte, row_bytes - byte);
  return padded;
}

/// Elements `at ..< at + count` of `total`, whole vectors at a time.
INLINE void widen_some(const void* data, gpi_type type, size_t at, size_t count, size_t total, float* out) {
  for (size_t i = 0; i < count; i += LANES)
    store(out + i, at + i + LANES <= total ? load_wide(data, at + i, type)
                                           : load_wide_tail(data, at + i, total - at - i, type));
}

/// Code `index` of a row of `words` words.
INLINE uint32_t code_at(const uint32_t* row, size_t words, size_t index, int bits) {
  size_t bit = index * (size_t)bits;
  uint64_t window = row[bit / 32];
  if (bit / 32 + 1 < words) window |= (uint64_t)row[bit / 32 + 1] << 32;
  return (uint32_t)(window >> bit % 32) & ((1u << bits) - 1);
}

INLINE void load_spqr_scales(const gpi_store_args* s, size_t n, size_t first, size_t count, run_scales* out) {
  const uint32_t* scale_codes = s->scale_codes + n * s->statistic_words;
  const uint32_t* zero_codes = s->zero_codes + n * s->statistic_words;
  size_t grid = n / s->group_rows * s->groups;
  for (size_t i = 0; i < count; i++) {
    size_t g = first + i;
    float scale = (float)code_at(scale_codes, s->statistic_words, g, s->statistic_bits);
    float zero = (float)code_at(zero_codes, s->statistic_words, g, s->statistic_bits);
    out->scale[i] = load_one(s->scale_scales, grid + g, s->scale_scales_type) *
                    (scale - load_one(s->scale_zeros, grid + g, s->scale_zeros_type));
    out->zero[i] = load_one(s->zero_scales, grid + g, s->zero_scales_type) *
                   (zero - load_one(s->zero_zeros, grid + g, s->zero_zeros_type));
  }
}

INLINE void load_run_scales(const gpi_store_args* s, size_t n, size_t k0, size_t stop, run_scales* out) {
  size_t first = k0 / s->group, count = (stop - 1) / s->group - first + 1;
  // Lanes behind the last input may ask for groups there are none of; they must find numbers.
  for (int i = 0; i < LANES; i++) out->scale[count + i] = out->zero[count + i] = 0;
  if (s->store == GPI_STORE_SPQR) {
    load_spqr_scales(s, n, first, count, out);
    return;
  }
  size_t at = n / s->group_rows * s->groups + first;
  widen_some(s->scales, s->scale_type, at, count, s->scale_count, out->scale);
  switch (s->zero) {
    case GPI_ZERO_MIDPOINT:
      for (size_t i = 0; i < count; i += LANES) store(out->zero + i, splat((float)(1 << (s->bits - 1))));
      break;
    case GPI_ZERO_INTEGERS:
      for (size_t i = 0; i < count; i += LANES)
        store(out->zero + i, bytes_to_float(load_bytes(s->zeros, at + i, s->scale_count)));
      break;
    case GPI_ZERO_REALS:
      widen_some(s->zeros, s->zero_type, at, count, s->scale_count, out->zero);
      break;
  }
}

/// The value of each lane's group, lane i holding inputs from `k + per_word · i` on. Groups are multiples of
/// 16 inputs, or the whole row.
INLINE f32x16 group_lanes(const float* values, const gpi_store_args* s, size_t k, size_t k0,
                          size_t per_word) {
  size_t first = k0 / s->group, block = LANES * per_word;
  if (s->groups == 1) return splat(values[0]);
  if (s->group % block == 0) return splat(values[k / s->group - first]);
  if (block % s->group == 0) {
    // Groups that divide a block are powers of two, and so are the lanes of one.
    size_t each = s->group / per_word;
    const u32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return look_up(load(values + k / s->group - first), lane >> (uint32_t)__builtin_ctzll(each));
  }
  float lanes[LANES];
  for (size_t i = 0; i < LANES; i++) lanes[i] = values[(k + per_word * i) / s->group - first];
  return load(lanes);
}

INLINE void decode_words(const int bits, const gpi_store_args* s, const char* row, const run_scales* scales,
                         size_t k0, size_t stop, float* out, size_t step) {
  const size_t per_word = 32 / (size_t)bits;
  for (size_t k = k0; k < stop; k += LANES * per_word) {
    u32x16 words = load_words(row, k / per_word * 4, s->row_bytes);
    f32x16 scale = group_lanes(scales->scale, s, k, k0, per_word);
    f32x16 zero = group_lanes(scales->zero, s, k, k0, per_word);
    UNROLL for (size_t j = 0; j < per_word; j++, out += step) {
      u32x16 codes = words >> (uint32_t)(bits * (int)j) & ((1u << bits) - 1);
      f32x16 value = s->store == GPI_STORE_CODEBOOK ? look_up(load(s->table), codes) * scale
                                                    : (to_float(codes) - zero) * scale;
      store(out, value);
    }
  }
}

/// Sixteen codes are six bytes; lanes shift their own out of the same eight.
INLINE void decode_threes(const gpi_store_args* s, const char* row, const run_scales* scales, size_t k0,
                          size_t stop, float* out, size_t step) {
  const u64x16 shifts = {0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45};
  for (size_t k = k0; k < stop; k += LANES, out += step) {
    uint64_t window = 0;
    size_t byte = k / 16 * 6, left = s->row_bytes - byte;
    memcpy(&window, row + byte, left < 8 ? left : 8);
    u64x16 all = (u64x16){0} + window;
    u32x16 codes = __builtin_convertvector(all >> shifts & 7, u32x16);
    store(out, (to_float(codes) - group_lanes(scales->zero, s, k, k0, 1)) *
                   group_lanes(scales->scale, s, k, k0, 1));
  }
}

/// A float8 without infinity or NaN: exponent and mantissa moved into place, the bias put right by a factor.
INLINE f32x16 widen_e4m3(u8x16 codes) {
  u32x16 wide = __builtin_convertvector(codes, u32x16);
  f32x16 size = (f32x16)((wide & 0x7F) << 20) * splat(0x1p120f);
  return (f32x16)((u32x16)size | (wide & 0x80) << 24);
}

INLINE void decode_float8(const gpi_store_args* s, const char* row, const run_scales* scales, size_t k0,
                          size_t stop, float* out, size_t step) {
  for (size_t k = k0; k < stop; k += LANES, out += step)
    store(out, widen_e4m3(load_bytes(row, k, s->row_bytes)) * group_lanes(scales->scale, s, k, k0, 1));
}

// ggml's blocks; their layouts are drawn at `GGMLType`'s decoders.

INLINE void decode_q8_0(const char* block, float* out, size_t step) {
  f32x16 d = splat(half_value(block));
  UNROLL for (int i = 0; i < 2; i++)
      store(out + i * step, signed_to_float((i8x16) * (const u8x16_any*)(block + 2 + 16 * i)) * d);
}

INLINE void decode_q4_0(const char* block, float* out, size_t step) {
  f32x16 d = splat(half_value(block));
  u8x16 bytes = *(const u8x16_any*)(block + 2);
  store(out, (bytes_to_float(bytes & 15) - 8.0f) * d);
  store(out + step, (bytes_to_float(bytes >> 4) - 8.0f) * d);
}

INLINE void decode_q4_k(const char* block, float* out, size_t step) {
  float d = half_value(block), dmin = half_value(block + 2);
  const uint8_t* packed = (const uint8_t*)block + 4;
  for (int sub = 0; sub < 8; sub++) {
    int low = sub < 4, j = low ? sub : sub - 4;
    int scale = low ? packed[j] & 63 : (packed[j + 8] & 15) | packed[j] >> 6 << 4;
    int minimum = low ? packed[j + 4] & 63 : packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
    f32x16 dl = splat(d * (float)scale), ml = splat(dmin * (float)minimum);
    UNROLL for (int half = 0; half < 2; half++, out += step) {
      u8x16 bytes = *(const u8x16_any*)(block + 16 + sub / 2 * 32 + half * 16);
      u8x16 codes = sub % 2 ? bytes >> 4 : bytes & 15;
      store(out, bytes_to_float(codes) * dl - ml);
    }
  }
}

INLINE void decode_q6_k(const char* block, float* out, size_t step) {
  float d = half_value(block + 208);
  for (int sub = 0; sub < 16; sub++, out += step) {
    int half = sub / 8, group = sub % 8 / 2, start = sub % 2 * 16;
    u8x16 low = *(const u8x16_any*)(block + half * 64 + group % 2 * 32 + start);
    u8x16 high = *(const u8x16_any*)(block + 128 + half * 32 + start) >> (uint8_t)(2 * group) & 3;
    u8x16 codes = (group / 2 ? low >> 4 : low & 15) | high << 4;
    f32x16 scale = splat(d * (float)(int8_t)block[192 + sub]);
    store(out, (bytes_to_float(codes) - 32.0f) * scale);
  }
}

/// What the outliers of row `n` say about a run, in natural order (SpQR's bits are 3) or that of its words.
INLINE void place_outliers(const gpi_store_args* s, size_t n, size_t k0, size_t stop, float* out,
                           size_t step) {
  size_t per_word = s->bits == 3 ? 1 : 32 / (size_t)s->bits, block = LANES * per_word;
  for (int32_t i = s->outlier_rows[n]; i < s->outlier_rows[n + 1]; i++) {
    size_t k = (size_t)s->outlier_columns[i];
    if (k < k0 || k >= stop) continue;
    size_t in_block = k % block;
    size_t place = (k - k0) / block * per_word + in_block % per_word;
    out[place * step + in_block / per_word] = load_one(s->outlier_values, (size_t)i, s->outlier_type);
  }
}

#include "sparse_decode.h"

/// Inputs `k0 ..< stop` of output `n`, in the packed order, sixteen to a step of `step` floats. Lanes behind
/// `stop` get numbers that mean nothing.
INLINE void decode_run(const gpi_store_args* s, size_t n, size_t k0, size_t stop, float* out, size_t step) {
  const char* row = (const char*)s->codes + n * s->row_bytes;
  run_scales scales;
  switch (s->store) {
    case GPI_STORE_INTEGER:
    case GPI_STORE_SPQR:
    case GPI_STORE_CODEBOOK:
      load_run_scales(s, n, k0, stop, &scales);
      switch (s->bits) {
        case 2:
          decode_words(2, s, row, &scales, k0, stop, out, step);
          break;
        case 3:
          decode_threes(s, row, &scales, k0, stop, out, step);
          break;
        case 4:
          decode_words(4, s, row, &scales, k0, stop, out, step);
          break;
        default:
          decode_words(8, s, row, &scales, k0, stop, out, step);
          break;
      }
      if (s->store == GPI_STORE_SPQR) place_outliers(s, n, k0, stop, out, step);
      break;
    case GPI_STORE_FLOAT8:
      load_run_scales(s, n, k0, stop, &scales);
      decode_float8(s, row, &scales, k0, stop, out, step);
      break;
    case GPI_STORE_SPARSE:
      decode_sparse(s, n, k0, stop, out, step);
      break;
    case GPI_STORE_Q4_0:
      for (size_t k = k0; k < stop; k += 32, out += 2 * step) decode_q4_0(row + k / 32 * 18, out, step);
      break;
    case GPI_STORE_Q8_0:
      for (size_t k = k0; k < stop; k += 32, out += 2 * step) decode_q8_0(row + k / 32 * 34, out, step);
      break;
    case GPI_STORE_Q4_K:
      for (size_t k = k0; k < stop; k += 256, out += 16 * step) decode_q4_k(row + k / 256 * 144, out, step);
      break;
    case GPI_STORE_Q6_K:
      for (size_t k = k0; k < stop; k += 256, out += 16 * step) decode_q6_k(row + k / 256 * 210, out, step);
      break;
  }
}

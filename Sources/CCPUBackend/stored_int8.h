// Activations rounded to int8 against integer weights: exact integer sums, one float per group.
//
//   y[t, n] = s[t] · Σ_g scale[n, g] · Σ_{k in g} q[t, k] · (code[n, k] − zero[n, g])  +  Σ_{outliers k} x[t,
//   k] · W[n, k]
//
// Both factors are held as int16 after their zeros are taken off, so 8-bit codes of any convention fit, and
// pairs are multiplied and added to int32.
#pragma once

#include "kernels.h"
#include "stored_decode.h"
#include "vector.h"

// 255 · 255 times this fits int32.
#define INT_SEGMENT 16384
#define INT_OUTPUTS 4

typedef int16_t i16x16 __attribute__((vector_size(32)));
typedef i16x16 i16x16_any __attribute__((aligned(1), may_alias));

/// At most INT_SEGMENT products, a multiple of 16; exact, so any order will do.
INLINE int32_t dot_segment(const int16_t* a, const int16_t* b, size_t count) {
  size_t k = 0;
#if defined(GPI_NATIVE_AVX512)
  __m512i wide[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (; k + 64 <= count; k += 64) {
    UNROLL for (int i = 0; i < 2; i++) wide[i] = _mm512_add_epi32(
        wide[i], _mm512_madd_epi16(_mm512_loadu_si512(a + k + 32 * i), _mm512_loadu_si512(b + k + 32 * i)));
  }
  int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(wide[0], wide[1]));
#else
  int32_t sum = 0;
#endif
  i32x16 lanes = {0};
  for (; k < count; k += 16)
    lanes += __builtin_convertvector(*(const i16x16_any*)(a + k), i32x16) *
             __builtin_convertvector(*(const i16x16_any*)(b + k), i32x16);
  for (int i = 0; i < 16; i++) sum += lanes[i];
  return sum;
}

INLINE float dot_group(const int16_t* a, const int16_t* b, size_t count) {
  int64_t sum = 0;
  for (size_t k = 0; k < count; k += INT_SEGMENT)
    sum += dot_segment(a + k, b + k, count - k < INT_SEGMENT ? count - k : INT_SEGMENT);
  return (float)sum;
}

/// The nearest integer, ties to even, for sizes below 2²²; NaN stays below every bound.
INLINE int to_code(float value, int low, int high) {
  float bounded = value > (float)low ? value : (float)low;
  bounded = bounded < (float)high ? bounded : (float)high;
  return (int)((bounded + 0x1.8p23f) - 0x1.8p23f);
}

static void stored_round(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  float* line = (float*)(job->scratch + thread * job->scratch_stride);
  size_t end = (chunk + 1) * job->chunk_rows < a->rows ? (chunk + 1) * job->chunk_rows : a->rows;
  for (size_t row = chunk * job->chunk_rows; row < end; row++) {
    prepare_row(a, s, row, line);
    int16_t* rounded = job->rounded + row * job->rounded_stride;
    memset(rounded + a->inputs, 0, (job->rounded_stride - a->inputs) * sizeof *rounded);
    int32_t* outliers = job->outliers + row * (a->inputs + 1);
    outliers[0] = 0;
    float scale = s->rounding_scale;
    if (s->rounding == GPI_INT8_TOKEN) {
      float largest = 0;
      for (size_t k = 0; k < a->inputs; k++) {
        float size = size_of(line[k]);
        if (size >= s->outlier_threshold) continue;
        if (size > largest || size != size) largest = size;
        if (largest != largest) break;
      }
      scale = largest / 127.0f;
    }
    job->row_scales[row] = scale;
    float divisor = scale == 0 ? 1 : scale;
    for (size_t j = 0; j < a->inputs; j++) {
      float x = line[s->order ? (size_t)s->order[j] : j];
      if (s->rounding == GPI_INT8_TENSOR) {
        // The zero is added after rounding, so it moves the bounds.
        rounded[j] = (int16_t)to_code(x / divisor, -128 - s->rounding_zero, 127 - s->rounding_zero);
      } else if (size_of(x) >= s->outlier_threshold) {
        rounded[j] = 0;
        outliers[++outliers[0]] = (int32_t)j;
      } else {
        rounded[j] = (int16_t)to_code(x / divisor, -127, 127);
      }
    }
  }
}

INLINE int integer_zero(const gpi_store_args* s, size_t at) {
  return s->zero == GPI_ZERO_INTEGERS ? ((const uint8_t*)s->zeros)[at] : 1 << (s->bits - 1);
}

/// Kept codes less their zeros at their inputs, and 0 elsewhere.
INLINE void widen_sparse_codes(const gpi_store_args* s, size_t inputs, size_t n, int16_t* out) {
  sparse_row row = sparse_row_at(s, n);
  size_t at = 0;
  memset(out, 0, inputs * sizeof *out);
  for (size_t k = 0; k < inputs; k++) {
    if (!(row.mask[k / 8] >> k % 8 & 1)) continue;
    int code = (int)code_at((const uint32_t*)row.values, row.bytes / 4, at++, s->bits);
    out[k] = (int16_t)(code - integer_zero(s, n * s->groups + k / s->group));
  }
}

/// Codes less their zeros, in stored order, and the scales of row `n`.
INLINE void widen_codes(const gpi_store_args* s, size_t inputs, size_t n, int16_t* out, float* scales) {
  const uint32_t* row = (const uint32_t*)((const char*)s->codes + n * s->row_bytes);
  const uint8_t* bytes = (const uint8_t*)row;
  if (s->store == GPI_STORE_SPARSE) widen_sparse_codes(s, inputs, n, out);
  for (size_t g = 0; g < s->groups; g++) {
    size_t at = n * s->groups + g;
    scales[g] = load_one(s->scales, at, s->scale_type);
    if (s->store == GPI_STORE_SPARSE) continue;
    int zero = integer_zero(s, at);
    size_t end = (g + 1) * s->group < inputs ? (g + 1) * s->group : inputs;
    if (s->bits == 8) {
      for (size_t k = g * s->group; k < end; k++) out[k] = (int16_t)(bytes[k] - zero);
    } else {
      for (size_t k = g * s->group; k < end; k++)
        out[k] = (int16_t)((int)code_at(row, s->row_bytes / 4, k, s->bits) - zero);
    }
  }
}

static void stored_int8(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  int16_t* codes = (int16_t*)(job->scratch + thread * job->scratch_stride);
  float* scales = (float*)(codes + INT_OUTPUTS * job->rounded_stride);
  size_t begin = chunk * job->chunk_outputs;
  size_t end = begin + job->chunk_outputs < a->outputs ? begin + job->chunk_outputs : a->outputs;
  for (size_t column = begin; column < end; column += INT_OUTPUTS) {
    size_t columns = end - column < INT_OUTPUTS ? end - column : INT_OUTPUTS;
    for (size_t n = 0; n < columns; n++) {
      int16_t* row = codes + n * job->rounded_stride;
      widen_codes(s, a->inputs, column + n, row, scales + n * s->groups);
      memset(row + a->inputs, 0, (job->rounded_stride - a->inputs) * sizeof *row);
    }
    for (size_t row = 0; row < a->rows; row++) {
      const int16_t* x = job->rounded + row * job->rounded_stride;
      const int32_t* outliers = job->outliers + row * (a->inputs + 1);
      const float* input = a->input + row * a->input_stride;
      for (size_t n = 0; n < columns; n++) {
        const int16_t* w = codes + n * job->rounded_stride;
        const float* scale = scales + n * s->groups;
        float sum = 0;
        for (size_t g = 0; g < s->groups; g++) {
          // The only group of a row may end anywhere; behind it both factors are 0.
          size_t count = s->groups == 1 ? job->rounded_stride : s->group;
          sum += dot_group(x + g * s->group, w + g * s->group, count) * scale[g];
        }
        sum *= job->row_scales[row];
        for (int32_t i = 1; i <= outliers[0]; i++) {
          size_t j = (size_t)outliers[i];
          sum += input[s->order ? (size_t)s->order[j] : j] * (scale[j / s->group] * (float)w[j]);
        }
        add_run(a, row, column + n, 1, sum);
      }
    }
  }
}

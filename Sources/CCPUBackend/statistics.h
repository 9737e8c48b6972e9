// What calibration measures of activations: statistics of channels, and pairs of tokens for Gram matrices.
#pragma once

#include "bfloat16.h"
#include "kernels.h"

typedef struct {
  f64x16 squares, sizes;
  f32x16 absmax, least, greatest;
} channels16;

INLINE void measure16(channels16* c, f32x16 x) {
  f32x16 size = (f32x16)((i32x16)x & INT32_MAX);
  f64x16 wide = __builtin_convertvector(x, f64x16);
  c->squares += wide * wide;  // exact squares: fused or not, the same bits
  c->sizes += __builtin_convertvector(size, f64x16);
  // As a comparison of scalars decides: what is NaN replaces nothing.
  c->absmax = pick((i32x16)(size > c->absmax), size, c->absmax);
  c->least = pick((i32x16)(x < c->least), x, c->least);
  c->greatest = pick((i32x16)(x > c->greatest), x, c->greatest);
}

/// Sixteen channels of all rows; `count` of them exist.
INLINE void measure_vector(const gpi_channel_args* a, size_t begin, size_t count) {
  channels16 c;
  double squares[LANES] = {0}, sizes[LANES] = {0};
  memcpy(squares, a->squares + begin, count * sizeof(double));
  memcpy(sizes, a->sizes + begin, count * sizeof(double));
  memcpy(&c.squares, squares, sizeof squares);
  memcpy(&c.sizes, sizes, sizeof sizes);
  c.absmax = load_tail(a->absmax + begin, count);
  c.least = load_tail(a->least + begin, count);
  c.greatest = load_tail(a->greatest + begin, count);
  const float* x = a->input + begin;
  if (count == LANES) {
    for (size_t row = 0; row < a->rows; row++) measure16(&c, load(x + row * a->stride));
  } else {
    for (size_t row = 0; row < a->rows; row++) measure16(&c, load_tail(x + row * a->stride, count));
  }
  memcpy(squares, &c.squares, sizeof squares);
  memcpy(sizes, &c.sizes, sizeof sizes);
  memcpy(a->squares + begin, squares, count * sizeof(double));
  memcpy(a->sizes + begin, sizes, count * sizeof(double));
  store_tail(a->absmax + begin, c.absmax, count);
  store_tail(a->least + begin, c.least, count);
  store_tail(a->greatest + begin, c.greatest, count);
}

static void channels(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_channel_args* a = opaque;
  size_t end = (chunk + 1) * GPI_CHANNELS < a->columns ? (chunk + 1) * GPI_CHANNELS : a->columns;
  for (size_t begin = chunk * GPI_CHANNELS; begin < end; begin += LANES)
    measure_vector(a, begin, end - begin < LANES ? end - begin : LANES);
}

// Tokens 2t and 2t + 1 of a channel, rounded to bfloat16, in one element:
//
//   source   row 2t      | x0      | x1      | …          target   row t   | x0 y0 | x1 y1 | …
//            row 2t + 1  | y0      | y1      | …                   the earlier token in the low half

INLINE f32x16 pair16(const float* first, const float* second, size_t count) {
  u32x16 low = __builtin_convertvector(round_bfloat16(load_tail(first, count)), u32x16), high = {0};
  if (second) high = __builtin_convertvector(round_bfloat16(load_tail(second, count)), u32x16);
  return (f32x16)(low | high << 16);
}

/// A row of the target for each chunk row; the last row of an odd number pairs with zeros.
static void pair_rows(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_pair_job* job = opaque;
  size_t end = (chunk + 1) * job->chunk_rows < job->pairs ? (chunk + 1) * job->chunk_rows : job->pairs;
  for (size_t t = chunk * job->chunk_rows; t < end; t++) {
    const float* first = job->source + 2 * t * job->source_stride;
    const float* second = 2 * t + 1 < job->rows ? first + job->source_stride : NULL;
    float* target = (float*)(job->target + t * job->columns);
    size_t k = 0;
    for (; k + LANES <= job->columns; k += LANES)
      store(target + k, pair16(first + k, second ? second + k : NULL, LANES));
    if (k < job->columns) {
      size_t count = job->columns - k;
      store_tail(target + k, pair16(first + k, second ? second + k : NULL, count), count);
    }
  }
}

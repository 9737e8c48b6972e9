// y = x · Wᵀ in tiles. An element's value does not depend on the tile it was computed in (product.h; TILE_M
// rows by TILE_N outputs in registers, other numbers in another build), only its speed does:
//
//   one or two rows    weight rows one after the other, as memory streams best
//   up to FEW_ROWS     tiles, weights widened again for each row tile
//   more               tiles, weights widened (or copied) once into scratch memory
#pragma once

#include "product.h"

/// Byte address of weight row `column + n`; outputs past the end repeat the last one and are dropped later.
INLINE const char* weight_row(const gpi_linear_args* a, size_t column, size_t n) {
  return (const char*)a->weight + (column + n) * a->weight_stride * type_bytes(a->weight_type);
}

INLINE void multiply_step(const product p, const int mr, const float* x, size_t stride, const f32x16* w,
                          f32x16 sums[TILE_M][TILE_N]) {
  UNROLL for (int m = 0; m < mr; m++) {
    f32x16 input = load(x + m * stride);
    UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = multiply(p, input, w[n], sums[m][n]);
  }
}

INLINE void finish_run(const int mr, const gpi_linear_args* a, size_t row, size_t column, size_t columns,
                       int first, f32x16 sums[TILE_M][TILE_N]) {
  const int count = mr * TILE_N;
  f32x16 flat[TILE_M * TILE_N + 7];
  float total[TILE_M * TILE_N + 7];
  UNROLL for (int i = 0; i < count; i++) flat[i] = sums[i / TILE_N][i % TILE_N];
  UNROLL for (int i = count; i < count + 7; i++) flat[i] = splat(0);
  UNROLL for (int i = 0; i < count; i += 8) {
    f32x8 eight = sum16_by_8(flat[i], flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4], flat[i + 5],
                             flat[i + 6], flat[i + 7]);
    memcpy(total + i, &eight, sizeof eight);
  }
  for (int m = 0; m < mr; m++)
    for (size_t n = 0; n < columns; n++) add_run(a, row + m, column + n, first, total[m * TILE_N + n]);
}

// One weight row after the other is read as fast as memory gives them; several at a time are not. But then
// the inputs are read again for each output, so it pays only while they lie in the first-level cache. The
// hardware prefetcher starts anew at each page: ask for bytes four pages on. Into the second-level cache it
// was up to 1.5 times as fast as into the first, measured on a Zen 4.
#define STREAM_ROWS 2
#define STREAM_INPUT_BYTES (36 << 10)
#define STREAM_AHEAD 16384

INLINE void stream_step(const product p, const int mr, const gpi_linear_job* job, size_t k, f32x16 weights,
                        f32x16 sums[STREAM_ROWS]) {
  UNROLL for (int m = 0; m < mr; m++) sums[m] = multiply(p, load(packed_row(p, job, m, k)), weights, sums[m]);
}

/// One weight row against all inputs, at most STREAM_ROWS.
INLINE void stream_output(const product p, const int mr, const gpi_linear_job* job, size_t column) {
  const gpi_linear_args* a = job->args;
  const char* w = weight_row(a, column, 0);
  const size_t step = step_inputs(p);
  for (size_t k0 = 0; k0 == 0 || k0 < a->inputs; k0 += run_inputs(p)) {
    size_t stop = run_end(p, k0, a->inputs);
    f32x16 sums[STREAM_ROWS];
    UNROLL for (int m = 0; m < mr; m++) sums[m] = splat(0);
    size_t k = k0;
    for (; k + 4 * step <= stop; k += 4 * step) {
      UNROLL for (int u = 0; u < 4; u++) {
        const char* place = w + (k + u * step) * weight_bytes(p);
        if (u * step * weight_bytes(p) % 64 == 0) __builtin_prefetch(place + STREAM_AHEAD, 0, 2);
        stream_step(p, mr, job, k + u * step, load_step(p, w, k + u * step), sums);
      }
    }
    for (; k + step <= stop; k += step) stream_step(p, mr, job, k, load_step(p, w, k), sums);
    if (k < stop) stream_step(p, mr, job, k, load_step_tail(p, w, k, stop - k), sums);
    UNROLL for (int m = 0; m < mr; m++) add_run(a, m, column, k0 == 0, sum16(sums[m]));
  }
}

/// One run of one tile, weights straight from memory.
INLINE void few_rows_tile(const product p, const int mr, const gpi_linear_job* job, const char* const* w,
                          size_t row, size_t column, size_t columns, size_t k0, size_t stop) {
  f32x16 sums[TILE_M][TILE_N], weights[TILE_N];
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = splat(0);
  // Memory answers slower than a tile is used up: ask for the same run of the next tile meanwhile.
  const size_t ahead = job->args->weight_stride * TILE_N;
  size_t k = k0;
  for (; k + step_inputs(p) <= stop; k += step_inputs(p)) {
    UNROLL for (int n = 0; n < TILE_N; n++) {
      weights[n] = load_step(p, w[n], k);
      __builtin_prefetch(w[n] + (k + ahead) * weight_bytes(p), 0, 2);
    }
    multiply_step(p, mr, packed_row(p, job, row, k), job->packed_stride, weights, sums);
  }
  if (k < stop) {
    UNROLL for (int n = 0; n < TILE_N; n++) weights[n] = load_step_tail(p, w[n], k, stop - k);
    multiply_step(p, mr, packed_row(p, job, row, k), job->packed_stride, weights, sums);
  }
  finish_run(mr, job->args, row, column, columns, k0 == 0, sums);
}

INLINE void few_rows(const product p, const gpi_linear_job* job, size_t begin, size_t end) {
  const gpi_linear_args* a = job->args;
  if (a->rows <= STREAM_ROWS && a->rows * job->packed_stride * sizeof(float) <= STREAM_INPUT_BYTES) {
    for (size_t column = begin; column < end; column++) {
      if (a->rows == 1) {
        stream_output(p, 1, job, column);
      } else {
        stream_output(p, STREAM_ROWS, job, column);
      }
    }
    return;
  }
  for (size_t column = begin; column < end; column += TILE_N) {
    size_t columns = end - column < TILE_N ? end - column : TILE_N;
    const char* w[TILE_N];
    for (size_t n = 0; n < TILE_N; n++) w[n] = weight_row(a, column, n < columns ? n : columns - 1);
    for (size_t k0 = 0; k0 == 0 || k0 < a->inputs; k0 += run_inputs(p)) {
      size_t stop = run_end(p, k0, a->inputs);
      for (size_t row = 0; row < a->rows; row += TILE_M) {
        switch (a->rows - row) {
          case 1:
            few_rows_tile(p, 1, job, w, row, column, columns, k0, stop);
            break;
#if TILE_M > 2
          case 2:
            few_rows_tile(p, 2, job, w, row, column, columns, k0, stop);
            break;
          case 3:
            few_rows_tile(p, 3, job, w, row, column, columns, k0, stop);
            break;
#endif
          default:
            few_rows_tile(p, TILE_M, job, w, row, column, columns, k0, stop);
            break;
        }
      }
    }
  }
}

static void linear_few(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_linear_job* job = opaque;
  size_t begin = chunk * job->chunk_outputs, outputs = job->args->outputs;
  size_t end = begin + job->chunk_outputs < outputs ? begin + job->chunk_outputs : outputs;
  switch (product_of(job->args)) {
    case WIDE_FLOAT32:
      few_rows(WIDE_FLOAT32, job, begin, end);
      break;
    case WIDE_FLOAT16:
      few_rows(WIDE_FLOAT16, job, begin, end);
      break;
    case WIDE_BFLOAT16:
      few_rows(WIDE_BFLOAT16, job, begin, end);
      break;
    case PAIRS_BFLOAT16:
      few_rows(PAIRS_BFLOAT16, job, begin, end);
      break;
  }
}

/// Writes inputs k0 ..< stop of `columns` weight rows to `tile[step][TILE_N][16]`.
INLINE void prepare_tile(const product p, const gpi_linear_args* a, size_t column, size_t columns, size_t k0,
                         size_t stop, float* tile) {
  for (size_t n = 0; n < TILE_N; n++) {
    const char* w = weight_row(a, column, n < columns ? n : columns - 1);
    float* destination = tile + n * LANES;
    size_t k = k0;
    for (; k + step_inputs(p) <= stop; k += step_inputs(p), destination += TILE_N * LANES)
      store(destination, load_step(p, w, k));
    if (k < stop) store(destination, load_step_tail(p, w, k, stop - k));
  }
}

/// One run of one tile, weights from the prepared tile. Brings `ahead` into the cache meanwhile, `ahead_step`
/// bytes a step.
INLINE void many_rows_tile(const product p, const int mr, const gpi_linear_job* job, const float* tile,
                           const char* ahead, size_t ahead_step, size_t row, size_t column, size_t columns,
                           size_t k0, size_t steps) {
  f32x16 sums[TILE_M][TILE_N], weights[TILE_N];
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = splat(0);
  const float* x = packed_row(p, job, row, k0);
  for (size_t step = 0; step < steps; step++, x += LANES, tile += TILE_N * LANES, ahead += ahead_step) {
    __builtin_prefetch(ahead, 0, 2);
    UNROLL for (int n = 0; n < TILE_N; n++) weights[n] = load(tile + n * LANES);
    multiply_step(p, mr, x, job->packed_stride, weights, sums);
  }
  finish_run(mr, job->args, row, column, columns, k0 == 0, sums);
}

/// What to bring into the cache meanwhile: `rows` rows of bytes, `row_bytes` apart, `step` a step.
typedef struct {
  const char* place;
  size_t row_bytes, rows, step;
} fetch;

/// All rows of a block against one prepared tile, which holds `steps` steps from input k0 on.
INLINE void many_rows_block(const product p, const gpi_linear_job* job, const float* tile, fetch next,
                            size_t block, size_t block_end, size_t column, size_t columns, size_t k0,
                            size_t steps) {
  size_t asked = 0;
  for (size_t row = block; row < block_end; row += TILE_M, asked++) {
    // The first row tiles each fetch one row; the others look at what is there already.
    const char* ahead = asked < next.rows ? next.place + asked * next.row_bytes : (const char*)tile;
    size_t ahead_step = next.step;
    switch (block_end - row) {
      case 1:
        many_rows_tile(p, 1, job, tile, ahead, ahead_step, row, column, columns, k0, steps);
        break;
#if TILE_M > 2
      case 2:
        many_rows_tile(p, 2, job, tile, ahead, ahead_step, row, column, columns, k0, steps);
        break;
      case 3:
        many_rows_tile(p, 3, job, tile, ahead, ahead_step, row, column, columns, k0, steps);
        break;
#endif
      default:
        many_rows_tile(p, TILE_M, job, tile, ahead, ahead_step, row, column, columns, k0, steps);
        break;
    }
  }
}

static void linear_many(const void* opaque, size_t chunk, size_t thread) {
  const gpi_linear_job* job = opaque;
  const gpi_linear_args* a = job->args;
  const product p = product_of(a);
  float* tile = (float*)(job->scratch + thread * job->scratch_stride);
  size_t begin = chunk * job->chunk_outputs;
  size_t end = begin + job->chunk_outputs < a->outputs ? begin + job->chunk_outputs : a->outputs;
  // One run of a block of rows stays in the second-level cache while all tiles of the chunk pass over it.
  for (size_t block = 0; block < a->rows; block += BLOCK_ROWS) {
    size_t block_end = block + BLOCK_ROWS < a->rows ? block + BLOCK_ROWS : a->rows;
    for (size_t k0 = 0; k0 == 0 || k0 < a->inputs; k0 += run_inputs(p)) {
      size_t stop = run_end(p, k0, a->inputs);
      size_t steps = (stop - k0 + step_inputs(p) - 1) / step_inputs(p);
      for (size_t column = begin; column < end; column += TILE_N) {
        size_t columns = end - column < TILE_N ? end - column : TILE_N;
        switch (p) {
          case WIDE_FLOAT32:
            prepare_tile(WIDE_FLOAT32, a, column, columns, k0, stop, tile);
            break;
          case WIDE_FLOAT16:
            prepare_tile(WIDE_FLOAT16, a, column, columns, k0, stop, tile);
            break;
          case WIDE_BFLOAT16:
            prepare_tile(WIDE_BFLOAT16, a, column, columns, k0, stop, tile);
            break;
          case PAIRS_BFLOAT16:
            prepare_tile(PAIRS_BFLOAT16, a, column, columns, k0, stop, tile);
            break;
        }
        const size_t bytes = type_bytes(a->weight_type);
        const fetch next = {weight_row(a, column + TILE_N, 0) + k0 * bytes, a->weight_stride * bytes, TILE_N,
                            step_inputs(p) * bytes};
        if (p == PAIRS_BFLOAT16)
          many_rows_block(PAIRS_BFLOAT16, job, tile, next, block, block_end, column, columns, k0, steps);
        else  // widened, so the types are alike
          many_rows_block(WIDE_FLOAT32, job, tile, next, block, block_end, column, columns, k0, steps);
      }
    }
  }
}

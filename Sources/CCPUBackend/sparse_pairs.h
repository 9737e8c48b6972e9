// y = x · Wᵀ for sparse bfloat16 W and inputs rounded to bfloat16: thirty-two weights are expanded to what
// they would be in a dense row and multiplied in pairs, in the order of product.h. So the bits are those of
// the dense weight.
#pragma once

#include "bfloat16.h"
#include "linear.h"
#include "stored.h"

/// A step of a row, `count` inputs of which are there.
INLINE f32x16 sparse_pairs_step(const int two_of_four, const gpi_store_args* s, sparse_row row, size_t k,
                                size_t count, size_t* at) {
#if defined(GPI_NATIVE_EXPAND16)
  if (count == 2 * LANES) return (f32x16)sparse_halves(two_of_four, s, row, k, at);
#endif
  f32x16 low = sparse_step(0, two_of_four, GPI_BFLOAT16, s, row, NULL, k, 0, at), high = splat(0);
  if (count > LANES) high = sparse_step(0, two_of_four, GPI_BFLOAT16, s, row, NULL, k + LANES, 0, at);
  u16x16 bits[2] = {__builtin_convertvector((u32x16)low >> 16, u16x16),
                    __builtin_convertvector((u32x16)high >> 16, u16x16)};
  return load(bits);
}

static void sparse_pack_pairs(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  size_t end = (chunk + 1) * job->chunk_rows < a->rows ? (chunk + 1) * job->chunk_rows : a->rows;
  for (size_t row = chunk * job->chunk_rows; row < end; row++)
    pack_row(PAIRS_BFLOAT16, a->input + row * a->input_stride, a->inputs,
             job->packed + row * job->packed_stride);
}

/// `mr` rows against SPARSE_PAIR_COLUMNS outputs side by side, each read from end to end.
#define SPARSE_PAIR_COLUMNS 2

INLINE void sparse_pairs_few(const int two_of_four, const int mr, const gpi_stored_job* job, size_t begin,
                             size_t end) {
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  const size_t step = step_inputs(PAIRS_BFLOAT16);
  waiting_sums waiting = no_waiting_sums();
  for (size_t column = begin; column < end; column += SPARSE_PAIR_COLUMNS) {
    const size_t columns = end - column < SPARSE_PAIR_COLUMNS ? end - column : SPARSE_PAIR_COLUMNS;
    sparse_row rows[SPARSE_PAIR_COLUMNS];
    size_t at[SPARSE_PAIR_COLUMNS] = {0};
    UNROLL for (int n = 0; n < SPARSE_PAIR_COLUMNS; n++) rows[n] =
        sparse_row_at(s, column + ((size_t)n < columns ? (size_t)n : columns - 1));
    for (size_t k0 = 0; k0 < a->inputs; k0 += run_inputs(PAIRS_BFLOAT16)) {
      size_t stop = run_end(PAIRS_BFLOAT16, k0, a->inputs);
      f32x16 sums[TILE_M][SPARSE_PAIR_COLUMNS];
      UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < SPARSE_PAIR_COLUMNS; n++) sums[m][n] =
          splat(0);
      for (size_t k = k0; k < stop; k += step) {
        size_t count = stop - k < step ? stop - k : step;
        f32x16 weights[SPARSE_PAIR_COLUMNS];
        UNROLL for (int n = 0; n < SPARSE_PAIR_COLUMNS; n++) {
          fetch_sparse(0, GPI_BFLOAT16, rows[n], k, at[n]);
          weights[n] = sparse_pairs_step(two_of_four, s, rows[n], k, count, &at[n]);
        }
        UNROLL for (int m = 0; m < mr; m++) {
          f32x16 input = load(job->packed + (size_t)m * job->packed_stride + k / 2);
          UNROLL for (int n = 0; n < SPARSE_PAIR_COLUMNS; n++) sums[m][n] =
              dot_pairs(input, weights[n], sums[m][n]);
        }
      }
      UNROLL for (int m = 0; m < mr; m++)
          UNROLL for (int n = 0; n < SPARSE_PAIR_COLUMNS; n++) if ((size_t)n < columns)
              add_waiting(a, &waiting, (size_t)m, column + (size_t)n, k0 == 0, sums[m][n]);
    }
  }
  flush_waiting(a, &waiting);
}

INLINE void sparse_pairs_many(const int two_of_four, const gpi_stored_job* job, size_t begin, size_t end,
                              float* tile) {
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  const size_t step = step_inputs(PAIRS_BFLOAT16);
  const gpi_linear_job dense = {.args = a, .packed = job->packed, .packed_stride = job->packed_stride};
  for (size_t block = 0; block < a->rows; block += BLOCK_ROWS) {
    size_t block_end = block + BLOCK_ROWS < a->rows ? block + BLOCK_ROWS : a->rows;
    for (size_t k0 = 0; k0 < a->inputs; k0 += run_inputs(PAIRS_BFLOAT16)) {
      size_t stop = run_end(PAIRS_BFLOAT16, k0, a->inputs);
      for (size_t column = begin; column < end; column += TILE_N) {
        size_t columns = end - column < TILE_N ? end - column : TILE_N;
        for (size_t n = 0; n < TILE_N; n++) {
          sparse_row row = sparse_row_at(s, column + (n < columns ? n : columns - 1));
          size_t at = sparse_kept(s, row, k0);
          float* out = tile + n * LANES;
          for (size_t k = k0; k < stop; k += step, out += TILE_N * LANES)
            store(out, sparse_pairs_step(two_of_four, s, row, k, stop - k < step ? stop - k : step, &at));
        }
        const fetch nothing = {(const char*)tile, 0, 0, 0};
        many_rows_block(PAIRS_BFLOAT16, &dense, tile, nothing, block, block_end, column, columns, k0,
                        (stop - k0 + step - 1) / step);
      }
    }
  }
}

INLINE void sparse_pairs_rows(const int two_of_four, const gpi_stored_job* job, size_t begin, size_t end,
                              float* tile) {
  switch (job->args->rows) {
    case 1:
      sparse_pairs_few(two_of_four, 1, job, begin, end);
      break;
    case 2:
      sparse_pairs_few(two_of_four, 2, job, begin, end);
      break;
#if TILE_M > 2
    case 3:
      sparse_pairs_few(two_of_four, 3, job, begin, end);
      break;
    case 4:
      sparse_pairs_few(two_of_four, 4, job, begin, end);
      break;
#endif
    default:
      sparse_pairs_many(two_of_four, job, begin, end, tile);
      break;
  }
}

static void sparse_pairs(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  float* tile = (float*)(job->scratch + thread * job->scratch_stride);
  size_t begin = chunk * job->chunk_outputs;
  size_t end = begin + job->chunk_outputs < a->outputs ? begin + job->chunk_outputs : a->outputs;
  if (job->store->starts) {
    sparse_pairs_rows(0, job, begin, end, tile);
  } else {
    sparse_pairs_rows(1, job, begin, end, tile);
  }
}

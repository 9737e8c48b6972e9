// Few rows against a sparse weight, decoded between memory and product. Included by stored.h.
//
// Two weight rows go side by side, so that the additions of one fill the waiting of the other; each is read
// once from end to end, as memory streams best. The sums are those of the tiles: sixteen lanes, in order of
// the inputs, a run of STORED_RUN at a time.
#pragma once

/// Asks for what a row needs four pages on.
INLINE void fetch_sparse(const int bits, const gpi_type type, sparse_row row, size_t k, size_t at) {
  const size_t value_bits = bits ? (size_t)bits : 8 * type_bytes(type);
  __builtin_prefetch(row.values + at * value_bits / 8 + STORED_AHEAD, 0, 2);
  if (k % 512 == 0) __builtin_prefetch(row.mask + k / 8 + STORED_AHEAD / 8, 0, 2);
}

#if defined(GPI_NATIVE_AVX512)
#define SPARSE_COLUMNS 2

INLINE void sparse_columns(const int bits, const int two_of_four, const gpi_type type, const int mr,
                           const gpi_stored_job* job, size_t column, size_t columns) {
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  sparse_row rows[SPARSE_COLUMNS];
  size_t at[SPARSE_COLUMNS] = {0, 0};
  run_scales scales[SPARSE_COLUMNS];
  UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) rows[n] =
      sparse_row_at(s, column + ((size_t)n < columns ? (size_t)n : columns - 1));
  for (size_t k0 = 0; k0 < a->inputs; k0 += STORED_RUN) {
    size_t stop = k0 + STORED_RUN < a->inputs ? k0 + STORED_RUN : a->inputs;
    f32x16 sums[TILE_M][SPARSE_COLUMNS];
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) sums[m][n] = splat(0);
    if (bits)
      for (size_t n = 0; n < SPARSE_COLUMNS; n++)
        load_run_scales(s, column + (n < columns ? n : columns - 1), k0, stop, &scales[n]);
    size_t k = k0;
    for (; k + 2 * LANES <= stop; k += 2 * LANES) {
      f32x16 weights[SPARSE_COLUMNS][2];
      UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) {
        fetch_sparse(bits, type, rows[n], k, at[n]);
        sparse_steps(bits, two_of_four, type, s, rows[n], &scales[n], k, k0, &at[n], weights[n]);
      }
      UNROLL for (int half = 0; half < 2; half++) UNROLL for (int m = 0; m < mr; m++) {
        f32x16 input = load(job->packed + (size_t)m * job->packed_stride + k + (size_t)half * LANES);
        UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) sums[m][n] =
            fma16(input, weights[n][half], sums[m][n]);
      }
    }
    for (; k < stop; k += LANES) {
      UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) {
        f32x16 weights = sparse_step(bits, two_of_four, type, s, rows[n], &scales[n], k, k0, &at[n]);
        UNROLL for (int m = 0; m < mr; m++) sums[m][n] =
            fma16(load(job->packed + (size_t)m * job->packed_stride + k), weights, sums[m][n]);
      }
    }
    UNROLL for (int m = 0; m < mr; m++)
        UNROLL for (int n = 0; n < SPARSE_COLUMNS; n++) if ((size_t)n < columns)
            add_run(a, (size_t)m, column + (size_t)n, k0 == 0, sum16(sums[m][n]));
  }
}

INLINE void sparse_rows(const int bits, const int two_of_four, const gpi_type type, const gpi_stored_job* job,
                        size_t begin, size_t end) {
  for (size_t column = begin; column < end; column += SPARSE_COLUMNS) {
    size_t columns = end - column < SPARSE_COLUMNS ? end - column : SPARSE_COLUMNS;
    switch (job->args->rows) {
      case 1:
        sparse_columns(bits, two_of_four, type, 1, job, column, columns);
        break;
      case 2:
        sparse_columns(bits, two_of_four, type, 2, job, column, columns);
        break;
      case 3:
        sparse_columns(bits, two_of_four, type, 3, job, column, columns);
        break;
      default:
        sparse_columns(bits, two_of_four, type, 4, job, column, columns);
        break;
    }
  }
}

/// At most TILE_M rows.
INLINE void sparse_few(const gpi_stored_job* job, size_t begin, size_t end) {
#define FEW(bits, two_of_four, type) sparse_rows(bits, two_of_four, type, job, begin, end)
  WITH_SPARSE(job->store, FEW)
#undef FEW
}
#endif

// output += scale · (x · B), x narrow and B its second matrix [rank, outputs]: what an adapter adds to a
// layer.
//
// Lanes are outputs, so nothing is summed across lanes, which for so short sums would be most of the work. A
// lane takes the rank in ascending order, in every tile; then the scale, then the old value.
#pragma once

#include "rows.h"

#if TILE_M > 2
#define EXPAND_VECTORS 4
#else
#define EXPAND_VECTORS 2
#endif

INLINE void expand_tile(const gpi_type type, const int mr, const int vectors, const gpi_expand_args* a,
                        size_t row, size_t column) {
  f32x16 sums[TILE_M][EXPAND_VECTORS], weights[EXPAND_VECTORS];
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < vectors; n++) sums[m][n] = splat(0);
  for (size_t k = 0; k < a->rank; k++) {
    const char* w = (const char*)a->weight + k * a->weight_stride * type_bytes(type);
    UNROLL for (int n = 0; n < vectors; n++) weights[n] =
        vectors == EXPAND_VECTORS ? load_wide(w, column + (size_t)n * LANES, type)
                                  : load_part_wide(w, column + (size_t)n * LANES, a->outputs, type);
    UNROLL for (int m = 0; m < mr; m++) {
      f32x16 input = splat(a->input[(row + m) * a->input_stride + k]);
      UNROLL for (int n = 0; n < vectors; n++) sums[m][n] = fma16(input, weights[n], sums[m][n]);
    }
  }
  UNROLL for (int m = 0; m < mr; m++) {
    float* output = a->output + (row + m) * a->output_stride;
    UNROLL for (int n = 0; n < vectors; n++) {
      size_t c = column + (size_t)n * LANES;
      store_part(output, c, a->outputs, load_part(output, c, a->outputs) + sums[m][n] * splat(a->scale));
    }
  }
}

INLINE void expand_rows(const gpi_type type, const int vectors, const gpi_expand_args* a, size_t column) {
  size_t row = 0;
  for (; row + TILE_M <= a->rows; row += TILE_M) expand_tile(type, TILE_M, vectors, a, row, column);
  for (; row < a->rows; row++) expand_tile(type, 1, vectors, a, row, column);
}

INLINE void expand_columns(const gpi_type type, const gpi_expand_args* a, size_t begin, size_t end) {
  size_t column = begin;
  for (; column + EXPAND_VECTORS * LANES <= end; column += EXPAND_VECTORS * LANES)
    expand_rows(type, EXPAND_VECTORS, a, column);
  for (; column < end; column += LANES) expand_rows(type, 1, a, column);
}

static void expand_outputs(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_expand_args* a = job->args;
  size_t begin = chunk * job->chunk_rows;
  size_t end = begin + job->chunk_rows < a->outputs ? begin + job->chunk_rows : a->outputs;
  switch (a->weight_type) {
    case GPI_FLOAT32:
      expand_columns(GPI_FLOAT32, a, begin, end);
      break;
    case GPI_FLOAT16:
      expand_columns(GPI_FLOAT16, a, begin, end);
      break;
    case GPI_BFLOAT16:
      expand_columns(GPI_BFLOAT16, a, begin, end);
      break;
  }
}

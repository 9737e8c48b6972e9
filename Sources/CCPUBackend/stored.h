// y = x · Wᵀ for quantised W. A run of a tile of weight rows is decoded to float32 and then multiplied as a
// dense tile is: one accumulator of 16 lanes per output element, runs of STORED_RUN inputs, so an element's
// bits do not depend on the batch, the tile or the instruction set.
//
// Codes of 2, 4 and 8 bits are taken out of sixteen words at a time, one lane a word, by a shift; so inputs
// are packed in the order in which codes then appear. With c codes in a word:
//
//   word      0             1                …   15
//   codes     0 … c−1       c … 2c−1         …   15c … 16c−1
//   step j    lane i holds code c·i + j, and the packed input at 16·j + i is x[c·i + j]
//
// All other stores have c = 1: their codes come in natural order.
#pragma once

#include "kernels.h"
#include "product.h"
#include "stored_decode.h"
#include "vector.h"

/// Sums whose lanes are added up eight at a time, a third of the work of one at a time; outputs get them in
/// the order in which they came.
typedef struct {
  f32x16 lanes[8];
  size_t row[8], column[8];
  int first[8];
  size_t count;
} waiting_sums;

INLINE waiting_sums no_waiting_sums(void) {
  waiting_sums waiting;
  for (int i = 0; i < 8; i++) waiting.lanes[i] = splat(0);
  waiting.count = 0;
  return waiting;
}

INLINE void flush_waiting(const gpi_linear_args* a, waiting_sums* waiting) {
  const f32x16* l = waiting->lanes;
  f32x8 eight = sum16_by_8(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7]);
  for (size_t i = 0; i < waiting->count; i++)
    add_run(a, waiting->row[i], waiting->column[i], waiting->first[i], eight[i]);
  waiting->count = 0;
}

INLINE void add_waiting(const gpi_linear_args* a, waiting_sums* waiting, size_t row, size_t column, int first,
                        f32x16 lanes) {
  size_t i = waiting->count++;
  waiting->lanes[i] = lanes;
  waiting->row[i] = row;
  waiting->column[i] = column;
  waiting->first[i] = first;
  if (waiting->count == 8) flush_waiting(a, waiting);
}

INLINE void add_stored_tile(const int mr, const gpi_linear_args* a, size_t row, size_t column, size_t columns,
                            int first, f32x16 sums[TILE_M][TILE_N]) {
  for (int m = 0; m < mr; m++) {
    UNROLL for (int n = 0; n < TILE_N; n++) if ((size_t)n < columns)
        add_run(a, row + m, column + n, first, sum16(sums[m][n]));
  }
}

/// The nearest E4M3 value, ties to even, saturating at 448.
INLINE float round_e4m3(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = bits & 0x80000000, size = bits & 0x7FFFFFFF;
  if (size > 0x7F800000) return value;
  if (size >= 0x43E00000) {
    size = 0x43E00000;
  } else if (size < 0x3C800000) {
    // Below 2⁻⁶ values are multiples of 2⁻⁹: let an addition round at that bit.
    float small;
    memcpy(&small, &size, 4);
    small = (small + 0x1p14f) - 0x1p14f;
    memcpy(&size, &small, 4);
  } else {
    size = (size + 0x7FFFF + (size >> 20 & 1)) & ~0xFFFFFu;
  }
  bits = sign | size;
  memcpy(&value, &bits, 4);
  return value;
}

INLINE float size_of(float value) { return value < 0 ? -value : value; }

/// The largest size; NaN where there is one.
INLINE float largest_size(const float* x, size_t count) {
  float largest = 0;
  for (size_t k = 0; k < count; k++) {
    float size = size_of(x[k]);
    largest = size > largest || size != size ? size : largest;
    if (largest != largest) return largest;
  }
  return largest;
}

/// One row of the input as it is multiplied: channels that count as 0, activations rounded to E4M3.
INLINE void prepare_row(const gpi_linear_args* a, const gpi_store_args* s, size_t row, float* line) {
  memcpy(line, a->input + row * a->input_stride, a->inputs * sizeof(float));
  for (size_t i = 0; i < s->zeroed_count; i++) line[s->zeroed[i]] = 0;
  if (s->rounding != GPI_FLOAT8_GROUPS && s->rounding != GPI_FLOAT8_TENSOR) return;
  size_t group = s->rounding == GPI_FLOAT8_GROUPS ? s->rounding_group : a->inputs;
  for (size_t k0 = 0; k0 < a->inputs; k0 += group) {
    float scale = s->rounding_scale;
    if (s->rounding == GPI_FLOAT8_GROUPS) {
      scale = largest_size(line + k0, group) / 448.0f;
      if (scale == 0) continue;
    }
    for (size_t k = k0; k < k0 + group; k++) line[k] = round_e4m3(line[k] / scale) * scale;
  }
}

static void stored_pack(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  float* line = (float*)(job->scratch + thread * job->scratch_stride);
  size_t end = (chunk + 1) * job->chunk_rows < a->rows ? (chunk + 1) * job->chunk_rows : a->rows;
  size_t per_word = job->per_word, block = LANES * per_word;
  for (size_t row = chunk * job->chunk_rows; row < end; row++) {
    prepare_row(a, s, row, line);
    float* packed = job->packed + row * job->packed_stride;
    for (size_t k0 = 0; k0 < a->inputs; k0 += block, packed += block) {
      for (size_t j = 0; j < per_word; j++) {
        for (size_t i = 0; i < LANES; i++) {
          size_t k = k0 + per_word * i + j;
          packed[j * LANES + i] = k >= a->inputs ? 0 : line[s->order ? (size_t)s->order[k] : k];
        }
      }
    }
  }
}

INLINE void stored_tile(const int mr, const gpi_stored_job* job, const float* tile, size_t row, size_t column,
                        size_t columns, size_t k0, size_t steps) {
  f32x16 sums[TILE_M][TILE_N];
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = splat(0);
  const float* x = job->packed + row * job->packed_stride + k0;
  for (size_t step = 0; step < steps; step++, x += LANES, tile += TILE_N * LANES) {
    UNROLL for (int m = 0; m < mr; m++) {
      f32x16 input = load(x + m * job->packed_stride);
      UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = fma16(input, load(tile + n * LANES), sums[m][n]);
    }
  }
  add_stored_tile(mr, job->args, row, column, columns, k0 == 0, sums);
}

// As STREAM_AHEAD of linear.h.
#define STORED_AHEAD 16384

#if defined(GPI_NATIVE_AVX512)
INLINE void stream_whole(const int mr, const gpi_stored_job* job, const char* const* codes,
                         const run_scales* scales, size_t k, size_t group, const float* x,
                         f32x16 sums[TILE_M][TILE_N]) {
  const gpi_store_args* s = job->store;
  u32x16 words[TILE_N];
  f32x16 table[TILE_N];
  UNROLL for (int n = 0; n < TILE_N; n++) {
    words[n] = load_words(codes[n], k / 2, s->row_bytes);
    table[n] = s->store == GPI_STORE_CODEBOOK
                   ? load(s->table) * splat(scales[n].scale[group])
                   : (counting() - splat(scales[n].zero[group])) * splat(scales[n].scale[group]);
  }
  UNROLL for (int j = 0; j < 8; j++) {
    f32x16 input[TILE_M];
    UNROLL for (int m = 0; m < mr; m++) input[m] = load(x + m * job->packed_stride + j * LANES);
    UNROLL for (int n = 0; n < TILE_N; n++) {
      f32x16 weight = look_up(table[n], words[n] >> (4 * j));
      UNROLL for (int m = 0; m < mr; m++) sums[m][n] = fma16(input[m], weight, sums[m][n]);
    }
  }
}

INLINE void stream_parts(const int mr, const gpi_stored_job* job, const char* const* codes,
                         const run_scales* scales, size_t k, size_t k0, const float* x,
                         f32x16 sums[TILE_M][TILE_N]) {
  const gpi_store_args* s = job->store;
  f32x16 values = s->store == GPI_STORE_CODEBOOK ? load(s->table) : counting();
  UNROLL for (int n = 0; n < TILE_N; n++) {
    u32x16 words = load_words(codes[n], k / 2, s->row_bytes);
    f32x16 scale = group_lanes(scales[n].scale, s, k, k0, 8);
    f32x16 zero = s->store == GPI_STORE_CODEBOOK ? splat(0) : group_lanes(scales[n].zero, s, k, k0, 8);
    UNROLL for (int j = 0; j < 8; j++) {
      f32x16 weight = (look_up(values, words >> (4 * j)) - zero) * scale;
      UNROLL for (int m = 0; m < mr; m++) sums[m][n] =
          fma16(load(x + m * job->packed_stride + j * LANES), weight, sums[m][n]);
    }
  }
}

/// 4-bit codes decoded between memory and product. Where a group is whole blocks of 128, sixteen weights take
/// a shift and a look-up; where it is a part of one, a difference and a factor more.
INLINE void stream_nibbles(const int mr, const int whole, const gpi_stored_job* job, size_t row,
                           size_t column, size_t columns) {
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  const char* codes[TILE_N];
  UNROLL for (int n = 0; n < TILE_N; n++) codes[n] =
      (const char*)s->codes + (column + ((size_t)n < columns ? (size_t)n : columns - 1)) * s->row_bytes;
  for (size_t k0 = 0; k0 < a->inputs; k0 += STORED_RUN) {
    size_t stop = k0 + STORED_RUN < a->inputs ? k0 + STORED_RUN : a->inputs;
    run_scales scales[TILE_N];
    for (size_t n = 0; n < TILE_N; n++)
      load_run_scales(s, column + (n < columns ? n : columns - 1), k0, stop, &scales[n]);
    f32x16 sums[TILE_M][TILE_N];
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < TILE_N; n++) sums[m][n] = splat(0);
    const float* x = job->packed + row * job->packed_stride + k0;
    for (size_t k = k0; k < stop; k += 128, x += 128) {
      UNROLL for (int n = 0; n < TILE_N; n++) __builtin_prefetch(codes[n] + k / 2 + STORED_AHEAD, 0, 2);
      if (whole) {
        stream_whole(mr, job, codes, scales, k, k / s->group - k0 / s->group, x, sums);
      } else {
        stream_parts(mr, job, codes, scales, k, k0, x, sums);
      }
    }
    add_stored_tile(mr, a, row, column, columns, k0 == 0, sums);
  }
}

INLINE void stream_rows(const int mr, const gpi_stored_job* job, size_t column, size_t columns) {
  if (job->store->groups == 1 || job->store->group % 128 == 0) {
    stream_nibbles(mr, 1, job, 0, column, columns);
  } else {
    stream_nibbles(mr, 0, job, 0, column, columns);
  }
}

INLINE int can_stream_nibbles(const gpi_stored_job* job) {
  const gpi_store_args* s = job->store;
  return job->args->rows <= TILE_M && (s->store == GPI_STORE_CODEBOOK || s->store == GPI_STORE_INTEGER) &&
         s->bits == 4;
}
#endif

#include "sparse.h"

/// Asks for the same run of the next tile while this one is decoded and multiplied.
INLINE void fetch_tile(const gpi_store_args* s, size_t column, size_t k0, size_t stop, size_t inputs) {
  const char* row = (const char*)s->codes + column * s->row_bytes + s->row_bytes * k0 / inputs;
  size_t bytes = s->row_bytes * (stop - k0) / inputs + 63;
  for (size_t n = 0; n < TILE_N; n++, row += s->row_bytes)
    for (size_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 2);
}

static void stored_linear(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  float* tile = (float*)(job->scratch + thread * job->scratch_stride);
  size_t begin = chunk * job->chunk_outputs;
  size_t end = begin + job->chunk_outputs < a->outputs ? begin + job->chunk_outputs : a->outputs;
#if defined(GPI_NATIVE_AVX512)
  if (job->store->store == GPI_STORE_SPARSE && a->rows <= TILE_M) {
    sparse_few(job, begin, end);
    return;
  }
  if (can_stream_nibbles(job)) {
    for (size_t column = begin; column < end; column += TILE_N) {
      size_t columns = end - column < TILE_N ? end - column : TILE_N;
      switch (a->rows) {
        case 1:
          stream_rows(1, job, column, columns);
          break;
        case 2:
          stream_rows(2, job, column, columns);
          break;
        case 3:
          stream_rows(3, job, column, columns);
          break;
        default:
          stream_rows(4, job, column, columns);
          break;
      }
    }
    return;
  }
#endif
  size_t block_inputs = LANES * job->per_word;
  // One run of a block of rows stays in the second-level cache while all tiles of the chunk pass over it.
  for (size_t block = 0; block < a->rows; block += BLOCK_ROWS) {
    size_t block_end = block + BLOCK_ROWS < a->rows ? block + BLOCK_ROWS : a->rows;
    for (size_t k0 = 0; k0 < a->inputs; k0 += STORED_RUN) {
      size_t stop = k0 + STORED_RUN < a->inputs ? k0 + STORED_RUN : a->inputs;
      size_t steps = (stop - k0 + block_inputs - 1) / block_inputs * job->per_word;
      for (size_t column = begin; column < end; column += TILE_N) {
        size_t columns = end - column < TILE_N ? end - column : TILE_N;
        fetch_tile(job->store, column + TILE_N, k0, stop, a->inputs);
        for (size_t n = 0; n < TILE_N; n++)
          decode_run(job->store, column + (n < columns ? n : columns - 1), k0, stop, tile + n * LANES,
                     TILE_N * LANES);
        for (size_t row = block; row < block_end; row += TILE_M) {
          switch (block_end - row) {
            case 1:
              stored_tile(1, job, tile, row, column, columns, k0, steps);
              break;
#if TILE_M > 2
            case 2:
              stored_tile(2, job, tile, row, column, columns, k0, steps);
              break;
            case 3:
              stored_tile(3, job, tile, row, column, columns, k0, steps);
              break;
#endif
            default:
              stored_tile(TILE_M, job, tile, row, column, columns, k0, steps);
              break;
          }
        }
      }
    }
  }
}

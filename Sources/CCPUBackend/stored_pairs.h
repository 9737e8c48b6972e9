// y = x · Wᵀ for integer codes of 4 or 8 bits and inputs rounded to bfloat16. bfloat16 holds the codes
// exactly, so nothing of the weight is rounded: scales and zeros come in after the products of a block, in
// float32.
//
//   y[t, n] = Σ_g scale[n, g] · (Σ_{k in g} x[t, k] · code[n, k]  −  zero[n, g] · Σ_{k in g} x[t, k])
//
// A block is sixteen words of codes. In step j lane i multiplies the two codes that a shift by 4j brings to
// the low ends of word i's halves; a midpoint is taken off in the table that turns a nibble into bfloat16.
// Codes of 8 bits take two steps for their halves, the upper one times 16:
//
//   bits  codes  step j = 0 … 3, lane i
//   4     128    8i + j, 8i + 4 + j
//   8     64     4i, 4i + 2 (low, high halves in steps 0, 1);  4i + 1, 4i + 3 (in steps 2, 3)
//
//   packed input, a block   | x of the steps: 4 vectors of pairs, or 2 | per lane, the sum of its inputs |
//
// Lanes keep their own totals over a run of PAIR_RUN inputs, so an output's bits depend neither on the batch
// nor on the tile nor, as `dot_pairs` has the same bits everywhere, on the processor.
#pragma once

#include "bfloat16.h"
#include "kernels.h"
#include "stored.h"

#define PAIR_RUN 2048
#define PAIR_STEPS 4
// Outputs of a tile when inputs have more than two rows.
#define PAIR_MANY 3
// As STREAM_AHEAD of linear.h.
#define PAIR_AHEAD 16384
// Groups of 16 are the smallest; a vector may be read from the last one on.
#define PAIR_GROUPS (PAIR_RUN / 16 + LANES)

/// Nibbles to the bfloat16 bits of `nibble · factor − offset`, twice over: of the five bits that choose, the
/// highest is the neighbour's.
INLINE u16x32 nibble_table(float factor, float offset) {
  u16x32 table;
  for (int i = 0; i < 32; i++) {
    float value = (float)(i & 15) * factor - offset;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    table[i] = (uint16_t)(bits >> 16);
  }
  return table;
}

INLINE f32x16 nibble_pairs(u16x32 table, u32x16 words) {
#if defined(GPI_NATIVE_AVX512)
  return (f32x16)_mm512_permutexvar_epi16((__m512i)words, (__m512i)table);
#else
  u32x16 pairs;
  for (int i = 0; i < LANES; i++)
    pairs[i] = table[words[i] & 31] | (uint32_t)table[words[i] >> 16 & 31] << 16;
  return (f32x16)pairs;
#endif
}

/// Steps' tables, and the scales of the groups that a run of some outputs has.
typedef struct {
  u16x32 table[2];
  u32x16 lane_group;  // per lane: its group, counted from the block's first
  size_t group_shift;
  float scale[PAIR_MANY][PAIR_GROUPS];
  float zero[PAIR_MANY][PAIR_GROUPS];
} pair_run;

INLINE void start_pairs(const int bits, const gpi_store_args* s, pair_run* run) {
  float midpoint = s->zero == GPI_ZERO_MIDPOINT ? (float)(1 << (bits - 1)) : 0;
  run->table[0] = nibble_table(1, bits == 4 ? midpoint : 0);
  run->table[1] = bits == 4 ? run->table[0] : nibble_table(16, midpoint);
  // A row that is one group never comes to the next.
  run->group_shift = s->groups == 1 ? 8 * sizeof(size_t) - 1 : (size_t)__builtin_ctzll(s->group);
  for (uint32_t i = 0; i < LANES; i++)
    run->lane_group[i] = (uint32_t)((size_t)i * (32 / (size_t)bits) >> run->group_shift);
}

INLINE void load_pair_scales(const int zeros, const gpi_store_args* s, size_t n, size_t slot, size_t k0,
                             size_t stop, pair_run* run) {
  size_t first = k0 >> run->group_shift, count = ((stop - 1) >> run->group_shift) - first + 1;
  size_t at = n * s->groups + first, i = 0;
  for (; i < count; i += LANES) {
    size_t left = s->scale_count - at - i;
    store(&run->scale[slot][i], left >= LANES ? load_wide(s->scales, at + i, s->scale_type)
                                              : load_wide_tail(s->scales, at + i, left, s->scale_type));
  }
  // Lanes of the last block that have no input may ask for groups there are none of; they must find numbers.
  store(&run->scale[slot][i], splat(0));
  if (!zeros) return;
  for (i = 0; i < count; i++) run->zero[slot][i] = ((const uint8_t*)s->zeros)[at + i];
  for (; i < count + LANES; i++) run->zero[slot][i] = 0;
}

static void stored_pack_pairs(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  float* line = (float*)(job->scratch + thread * job->scratch_stride);
  size_t end = (chunk + 1) * job->chunk_rows < a->rows ? (chunk + 1) * job->chunk_rows : a->rows;
  size_t per_word = job->per_word;
  for (size_t row = chunk * job->chunk_rows; row < end; row++) {
    prepare_row(a, s, row, line);
    float* packed = job->packed + row * job->packed_stride;
    for (size_t k0 = 0; k0 < a->inputs; k0 += LANES * per_word) {
      f32x16 sum = splat(0);
      for (size_t j = 0; j < per_word / 2; j++, packed += LANES) {
        f32x16 halves[2];
        for (size_t half = 0; half < 2; half++) {
          for (size_t i = 0; i < LANES; i++) {
            size_t k = k0 + per_word * i + per_word / 2 * half + j;
            halves[half][i] = k >= a->inputs ? 0 : line[s->order ? (size_t)s->order[k] : k];
          }
        }
        u16x16 low = round_bfloat16(halves[0]), high = round_bfloat16(halves[1]);
        u32x16 pairs = __builtin_convertvector(low, u32x16) | __builtin_convertvector(high, u32x16) << 16;
        store(packed, (f32x16)pairs);
        sum = (sum + widen_bfloat16(low)) + widen_bfloat16(high);
      }
      store(packed, sum);
      packed += LANES;
    }
  }
}

/// Adds a block's products to the totals of its lanes.
INLINE f32x16 scale_block(const int zeros, f32x16 products, f32x16 sum, f32x16 scale, f32x16 zero,
                          f32x16 total) {
  if (zeros) products = fma16(-zero, sum, products);
  return fma16(products, scale, total);
}

/// Per lane the value of its group; `group` is the block's first.
INLINE f32x16 group_of_lanes(const int whole, const float* values, size_t group, const pair_run* run) {
  return whole ? splat(values[group]) : look_up(load(values + group), run->lane_group);
}

/// The products of one block with the inputs of `mr` rows, added to their totals. `whole`: the block is part
/// of one group.
INLINE void stream_block(const int mr, const int bits, const int zeros, const int whole,
                         const gpi_stored_job* job, const pair_run* run, size_t group, u32x16 words,
                         const float* x, f32x16 totals[TILE_M]) {
  const size_t vectors = 32 / (size_t)bits / 2;
  f32x16 products[TILE_M];
  UNROLL for (int m = 0; m < mr; m++) products[m] = splat(0);
  UNROLL for (int j = 0; j < PAIR_STEPS; j++) {
    f32x16 weights = nibble_pairs(run->table[j & 1], words >> (4 * j));
    UNROLL for (int m = 0; m < mr; m++) products[m] =
        dot_pairs(load(x + m * job->packed_stride + (bits == 4 ? j : j / 2) * LANES), weights, products[m]);
  }
  f32x16 scale = group_of_lanes(whole, run->scale[0], group, run);
  f32x16 zero = zeros ? group_of_lanes(whole, run->zero[0], group, run) : splat(0);
  UNROLL for (int m = 0; m < mr; m++) totals[m] = scale_block(
      zeros, products[m], load(x + m * job->packed_stride + vectors * LANES), scale, zero, totals[m]);
}

/// Outputs of `mr` rows, codes straight from memory: one stream of bytes, which hardware fetches best, while
/// the processor finds the blocks that do not wait for each other by itself.
INLINE void stream_pairs(const int mr, const int bits, const int zeros, const int whole,
                         const gpi_stored_job* job, size_t begin, size_t end, pair_run* run) {
  const gpi_linear_args* a = job->args;
  const gpi_store_args* s = job->store;
  const size_t block = LANES * 32 / (size_t)bits, row_step = (32 / (size_t)bits / 2 + 1) * LANES;
  waiting_sums waiting = no_waiting_sums();
  for (size_t column = begin; column < end; column++) {
    const char* codes = (const char*)s->codes + column * s->row_bytes;
    const float* x = job->packed;
    for (size_t k0 = 0; k0 < a->inputs; k0 += PAIR_RUN) {
      size_t stop = k0 + PAIR_RUN < a->inputs ? k0 + PAIR_RUN : a->inputs, k = k0;
      load_pair_scales(zeros, s, column, 0, k0, stop, run);
      f32x16 totals[TILE_M];
      UNROLL for (int m = 0; m < mr; m++) totals[m] = splat(0);
      const size_t first = k0 >> run->group_shift;
      for (; k + block <= stop; k += block, x += row_step) {
        const char* place = codes + k * (size_t)bits / 8;
        __builtin_prefetch(place + PAIR_AHEAD, 0, 2);
        stream_block(mr, bits, zeros, whole, job, run, (k >> run->group_shift) - first,
                     *(const u32x16_any*)place, x, totals);
      }
      if (k < stop) {
        stream_block(mr, bits, zeros, whole, job, run, (k >> run->group_shift) - first,
                     load_words(codes, k * (size_t)bits / 8, s->row_bytes), x, totals);
        x += row_step;
      }
      UNROLL for (int m = 0; m < mr; m++) add_waiting(a, &waiting, (size_t)m, column, k0 == 0, totals[m]);
    }
  }
  flush_waiting(a, &waiting);
}

/// A run of PAIR_MANY outputs, decoded: `[block][step][output]` vectors.
INLINE void decode_pairs(const int bits, const gpi_store_args* s, size_t column, size_t columns, size_t k0,
                         size_t stop, const pair_run* run, float* tile) {
  const size_t block = LANES * 32 / (size_t)bits;
  for (size_t n = 0; n < PAIR_MANY; n++) {
    const char* codes = (const char*)s->codes + (column + (n < columns ? n : columns - 1)) * s->row_bytes;
    float* out = tile + n * LANES;
    for (size_t k = k0; k < stop; k += block) {
      u32x16 words = load_words(codes, k * (size_t)bits / 8, s->row_bytes);
      UNROLL for (int j = 0; j < PAIR_STEPS; j++, out += PAIR_MANY * LANES)
          store(out, nibble_pairs(run->table[j & 1], words >> (4 * j)));
    }
  }
}

INLINE void pairs_tile(const int mr, const int bits, const int zeros, const gpi_stored_job* job,
                       const float* tile, size_t row, size_t column, size_t columns, size_t k0, size_t stop,
                       const pair_run* run) {
  const size_t block = LANES * 32 / (size_t)bits, vectors = 32 / (size_t)bits / 2;
  const float* x = job->packed + row * job->packed_stride + k0 / block * (vectors + 1) * LANES;
  f32x16 totals[TILE_M][PAIR_MANY];
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < PAIR_MANY; n++) totals[m][n] = splat(0);
  for (size_t k = k0; k < stop; k += block, x += (vectors + 1) * LANES) {
    f32x16 products[TILE_M][PAIR_MANY];
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < PAIR_MANY; n++) products[m][n] = splat(0);
    UNROLL for (int j = 0; j < PAIR_STEPS; j++, tile += PAIR_MANY * LANES) {
      UNROLL for (int m = 0; m < mr; m++) {
        f32x16 input = load(x + m * job->packed_stride + (bits == 4 ? j : j / 2) * LANES);
        UNROLL for (int n = 0; n < PAIR_MANY; n++) products[m][n] =
            dot_pairs(input, load(tile + n * LANES), products[m][n]);
      }
    }
    size_t group = (k >> run->group_shift) - (k0 >> run->group_shift);
    UNROLL for (int n = 0; n < PAIR_MANY; n++) {
      f32x16 scale = look_up(load(&run->scale[n][group]), run->lane_group);
      f32x16 zero = zeros ? look_up(load(&run->zero[n][group]), run->lane_group) : splat(0);
      UNROLL for (int m = 0; m < mr; m++) totals[m][n] =
          scale_block(zeros, products[m][n], load(x + m * job->packed_stride + vectors * LANES), scale, zero,
                      totals[m][n]);
    }
  }
  UNROLL for (int m = 0; m < mr; m++) UNROLL for (int n = 0; n < PAIR_MANY; n++) if ((size_t)n < columns)
      add_run(job->args, row + (size_t)m, column + (size_t)n, k0 == 0, sum16(totals[m][n]));
}

INLINE void many_pairs(const int bits, const int zeros, const gpi_stored_job* job, size_t begin, size_t end,
                       float* tile, pair_run* run) {
  const gpi_linear_args* a = job->args;
  for (size_t from = 0; from < a->rows; from += BLOCK_ROWS) {
    size_t to = from + BLOCK_ROWS < a->rows ? from + BLOCK_ROWS : a->rows;
    for (size_t k0 = 0; k0 < a->inputs; k0 += PAIR_RUN) {
      size_t stop = k0 + PAIR_RUN < a->inputs ? k0 + PAIR_RUN : a->inputs;
      for (size_t column = begin; column < end; column += PAIR_MANY) {
        size_t columns = end - column < PAIR_MANY ? end - column : PAIR_MANY;
        for (size_t n = 0; n < PAIR_MANY; n++)
          load_pair_scales(zeros, job->store, column + (n < columns ? n : columns - 1), n, k0, stop, run);
        decode_pairs(bits, job->store, column, columns, k0, stop, run, tile);
        size_t row = from;
        for (; row + TILE_M <= to; row += TILE_M)
          pairs_tile(TILE_M, bits, zeros, job, tile, row, column, columns, k0, stop, run);
        for (; row < to; row++) pairs_tile(1, bits, zeros, job, tile, row, column, columns, k0, stop, run);
      }
    }
  }
}

INLINE void pairs_chunk(const int bits, const int zeros, const gpi_stored_job* job, size_t begin, size_t end,
                        float* tile) {
  pair_run run;
  start_pairs(bits, job->store, &run);
  size_t rows = job->args->rows;
  if (rows > 2) {
    many_pairs(bits, zeros, job, begin, end, tile, &run);
    return;
  }
  int whole = run.group_shift >= (size_t)(bits == 4 ? 7 : 6);
  if (rows == 1 && whole) {
    stream_pairs(1, bits, zeros, 1, job, begin, end, &run);
  } else if (rows == 1) {
    stream_pairs(1, bits, zeros, 0, job, begin, end, &run);
  } else if (whole) {
    stream_pairs(2, bits, zeros, 1, job, begin, end, &run);
  } else {
    stream_pairs(2, bits, zeros, 0, job, begin, end, &run);
  }
}

static void stored_pairs(const void* opaque, size_t chunk, size_t thread) {
  const gpi_stored_job* job = opaque;
  const gpi_linear_args* a = job->args;
  float* tile = (float*)(job->scratch + thread * job->scratch_stride);
  size_t begin = chunk * job->chunk_outputs;
  size_t end = begin + job->chunk_outputs < a->outputs ? begin + job->chunk_outputs : a->outputs;
  int zeros = job->store->zero == GPI_ZERO_INTEGERS;
  if (job->store->bits == 4) {
    if (zeros) {
      pairs_chunk(4, 1, job, begin, end, tile);
    } else {
      pairs_chunk(4, 0, job, begin, end, tile);
    }
  } else if (zeros) {
    pairs_chunk(8, 1, job, begin, end, tile);
  } else {
    pairs_chunk(8, 0, job, begin, end, tile);
  }
}

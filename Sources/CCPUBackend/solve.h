// Products by outer steps, grids and the column sweep, sixteen columns (products) or rows (sweep) to a
// vector.
#pragma once

#include <math.h>

#include "bfloat16.h"
#include "kernels.h"
#include "vector.h"

// MARK: Products
//
//            n0 … n15 | … PRODUCT_N vectors        c stays in registers over one run of depth;
//   b[k]     ─────────────────────────────►        a[m, k] is broadcast; then c += factor · sum.
//   a[:, k]  PRODUCT_M scalars
//
// Packed operands, one run of depth at a time:   a  [row tile][k][PRODUCT_M]     b  [column
// tile][k][PRODUCT_N · 16] Each element adds its products in the order of k, run by run, so tile sizes do not
// change its bits.

#define PRODUCT_COLUMNS (PRODUCT_N * LANES)

// Row tiles of one packing chunk: whole cache lines of a transposed `a`.
#define PACKED_TILES 8

/// Row tiles of an `a` whose rows lie next to each other: a line of each `k` after the other, as a walk along
/// `k` would find only few sets of the cache.
INLINE void pack_lines(const gpi_product_job* job, size_t begin, size_t end) {
  const gpi_product_args* a = job->args;
  for (size_t k = 0; k < job->depth; k++) {
    const float* source = a->a + (job->k0 + k) * a->a_depth;
    for (size_t tile = begin; tile < end; tile++) {
      float* target = job->packed_a + (tile * job->depth + k) * PRODUCT_M;
      size_t row = tile * PRODUCT_M;
      if (row + PRODUCT_M <= a->rows) {
        memcpy(target, source + row, PRODUCT_M * sizeof(float));
      } else {
        for (size_t m = 0; m < PRODUCT_M; m++) target[m] = row + m < a->rows ? source[row + m] : 0.0f;
      }
    }
  }
}

INLINE void pack_row_tile(const gpi_product_job* job, size_t tile) {
  const gpi_product_args* a = job->args;
  float* target = job->packed_a + tile * job->depth * PRODUCT_M;
  for (size_t m = 0; m < PRODUCT_M; m++) {
    size_t row = tile * PRODUCT_M + m;
    const float* source = a->a + row * a->a_row + job->k0 * a->a_depth;
    for (size_t k = 0; k < job->depth; k++)
      target[k * PRODUCT_M + m] = row < a->rows ? source[k * a->a_depth] : 0.0f;
  }
}

static void pack_product(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_product_job* job = opaque;
  const gpi_product_args* a = job->args;
  size_t depth = job->depth, a_chunks = (job->row_tiles + PACKED_TILES - 1) / PACKED_TILES;
  if (chunk < a_chunks) {
    size_t begin = chunk * PACKED_TILES, end = begin + PACKED_TILES;
    if (end > job->row_tiles) end = job->row_tiles;
    if (a->a_row == 1) {
      pack_lines(job, begin, end);
    } else {
      for (size_t tile = begin; tile < end; tile++) pack_row_tile(job, tile);
    }
    return;
  }
  size_t tile = chunk - a_chunks, column = tile * PRODUCT_COLUMNS;
  float* target = job->packed_b + tile * depth * PRODUCT_COLUMNS;
  size_t width = a->columns - column < PRODUCT_COLUMNS ? a->columns - column : PRODUCT_COLUMNS;
  for (size_t k = 0; k < depth; k++, target += PRODUCT_COLUMNS) {
    memcpy(target, a->b + (job->k0 + k) * a->b_stride + column, width * sizeof(float));
    memset(target + width, 0, (PRODUCT_COLUMNS - width) * sizeof(float));
  }
}

INLINE void product_tile(const int pairs, const gpi_product_job* job, size_t row_tile, size_t column_tile) {
  const gpi_product_args* a = job->args;
  const float* left = job->packed_a + row_tile * job->depth * PRODUCT_M;
  const float* right = job->packed_b + column_tile * job->depth * PRODUCT_COLUMNS;
  f32x16 sums[PRODUCT_M][PRODUCT_N];
  UNROLL for (int m = 0; m < PRODUCT_M; m++) UNROLL for (int n = 0; n < PRODUCT_N; n++) sums[m][n] = splat(0);
  for (size_t k = 0; k < job->depth; k++, left += PRODUCT_M, right += PRODUCT_COLUMNS) {
    f32x16 b[PRODUCT_N];
    UNROLL for (int n = 0; n < PRODUCT_N; n++) b[n] = load(right + n * LANES);
    UNROLL for (int m = 0; m < PRODUCT_M; m++) {
      f32x16 value = splat(left[m]);
      UNROLL for (int n = 0; n < PRODUCT_N; n++) {
        sums[m][n] = pairs ? dot_pairs(value, b[n], sums[m][n]) : fma16(value, b[n], sums[m][n]);
      }
    }
  }
  size_t row = row_tile * PRODUCT_M, column = column_tile * PRODUCT_COLUMNS;
  f32x16 factor = splat(a->factor);
  UNROLL for (int m = 0; m < PRODUCT_M; m++) {
    if (row + m >= a->rows) break;
    float* c = a->c + (row + m) * a->c_stride + column;
    UNROLL for (int n = 0; n < PRODUCT_N; n++) {
      size_t start = column + n * LANES;
      if (start + LANES <= a->columns) {
        store(c + n * LANES, fma16(factor, sums[m][n], load(c + n * LANES)));
      } else if (start < a->columns) {
        size_t count = a->columns - start;
        store_tail(c + n * LANES, fma16(factor, sums[m][n], load_tail(c + n * LANES, count)), count);
      }
    }
  }
}

/// One block of row tiles over all column tiles: the block of `a` stays in the second-level cache.
static void outer_product(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_product_job* job = opaque;
  size_t begin = chunk * job->chunk_tiles;
  size_t end = begin + job->chunk_tiles < job->row_tiles ? begin + job->chunk_tiles : job->row_tiles;
  size_t first = job->args->upper ? begin * PRODUCT_M / PRODUCT_COLUMNS : 0;
  for (size_t column = first; column < job->column_tiles; column++) {
    for (size_t row = begin; row < end; row++) {
      if (job->args->upper && row * PRODUCT_M >= (column + 1) * PRODUCT_COLUMNS) continue;
      if (job->args->pairs) {
        product_tile(1, job, row, column);
      } else {
        product_tile(0, job, row, column);
      }
    }
  }
}

// MARK: Grids

/// Rounds to the nearest whole number, ties to even, for |x| < 2^22.
INLINE f32x16 round16(f32x16 x) {
  f32x16 magic = splat(0x1.8p23f);
  return (x + magic) - magic;
}

INLINE f32x16 clamp16(f32x16 x, float low, float high) { return smaller(larger(x, splat(low)), splat(high)); }

INLINE f32x16 magnitude16(f32x16 x) { return (f32x16)((i32x16)x & INT32_MAX); }

/// To the nearest value of the type that scales are stored in; none becomes zero.
INLINE f32x16 round_scale(f32x16 x, gpi_scale_type type) {
  if (type == GPI_SCALE_FLOAT32) return larger(x, splat(0x1p-126f));
  int shift = type == GPI_SCALE_FLOAT16 ? 13 : 16;
  u32x16 bits = (u32x16)x;
  bits = (bits + ((1u << (shift - 1)) - 1) + ((bits >> shift) & 1)) >> shift << shift;
  f32x16 rounded = (f32x16)bits;
  if (type == GPI_SCALE_BFLOAT16) return larger(rounded, splat(0x1p-126f));
  // Below 2^-14 float16 has a fixed step of 2^-24, which is what float32 has between 0.5 and 1.
  f32x16 subnormal = (x + 0.5f) - 0.5f;
  rounded = pick((i32x16)(x < splat(0x1p-14f)), subnormal, rounded);
  return clamp16(rounded, 0x1p-24f, 65504.0f);
}

typedef struct {
  f32x16 scale, zero;
  float low, high;  // codes
} grid16;

INLINE float highest_code(const gpi_grid_args* g) { return (float)((1 << g->bits) - 1); }
INLINE float lowest_code(const gpi_grid_args* g) { return g->grid == GPI_GRID_NARROW ? 1.0f : 0.0f; }

INLINE grid16 make_grid(const gpi_grid_args* g, f32x16 scale, f32x16 zero) {
  return (grid16){scale, zero, lowest_code(g), highest_code(g)};
}

/// From the smallest and greatest weight of each lane's group. A group of zeros gets the range −1 … 1.
INLINE grid16 fit_grid(const gpi_grid_args* g, f32x16 least, f32x16 greatest, float shrink) {
  float top = highest_code(g), middle = (float)(1 << (g->bits - 1));
  least = least * shrink;
  greatest = greatest * shrink;
  if (g->grid == GPI_GRID_REAL_ZERO) {
    i32x16 flat = (i32x16)(least == greatest);
    least = pick(flat, least - 1.0f, least);
    greatest = pick(flat, greatest + 1.0f, greatest);
    f32x16 scale = round_scale((greatest - least) / top, g->scale_type);
    return make_grid(g, scale, -least / scale);
  }
  least = smaller(least, splat(0));
  greatest = larger(greatest, splat(0));
  i32x16 empty = (i32x16)(least == greatest);
  least = pick(empty, splat(-1.0f), least);
  greatest = pick(empty, splat(1.0f), greatest);
  if (g->grid == GPI_GRID_ASYMMETRIC) {
    f32x16 scale = round_scale((greatest - least) / top, g->scale_type);
    return make_grid(g, scale, clamp16(round16(-least / scale), 0.0f, top));
  }
  f32x16 largest = larger(-least, greatest);
  f32x16 scale = g->grid == GPI_GRID_NARROW ? largest / (middle - 1.0f)
                 : g->grid == GPI_GRID_FULL ? largest / middle
                                            : 2.0f * largest / top;
  return make_grid(g, round_scale(scale, g->scale_type), splat(middle));
}

/// A zero that is a whole number is added after rounding (GPTQ), a real one before it (SpQR).
INLINE f32x16 code16(const gpi_grid_args* g, const grid16* grid, f32x16 w) {
  // Clamped before it is rounded: rounding needs small numbers, and the code stays the same.
  f32x16 steps = clamp16(w / grid->scale, -0x1p20f, 0x1p20f);
  f32x16 code = g->grid == GPI_GRID_REAL_ZERO ? round16(steps + grid->zero) : round16(steps) + grid->zero;
  return clamp16(code, grid->low, grid->high);
}

INLINE f32x16 value16(const grid16* grid, f32x16 code) { return grid->scale * (code - grid->zero); }

/// Sixteen elements of one column, `stride` apart; rows past the end repeat the last one.
INLINE f32x16 gather_rows(const float* source, size_t stride, size_t rows) {
  float lanes[LANES];
  for (size_t i = 0; i < LANES; i++) lanes[i] = source[(i < rows ? i : rows - 1) * stride];
  return load(lanes);
}

INLINE void scatter_rows(float* target, size_t stride, size_t rows, f32x16 value) {
  float lanes[LANES];
  store(lanes, value);
  for (size_t i = 0; i < rows; i++) target[i * stride] = lanes[i];
}

INLINE void scatter_codes(uint8_t* target, size_t stride, size_t rows, f32x16 value) {
  float lanes[LANES];
  store(lanes, value);
  for (size_t i = 0; i < rows; i++) target[i * stride] = (uint8_t)lanes[i];
}

/// The grid of sixteen rows, from `columns` of their weights in memory.
INLINE grid16 fit_rows(const gpi_grid_args* g, const float* weight, size_t stride, size_t rows,
                       size_t columns, float shrink) {
  f32x16 least = splat(INFINITY), greatest = splat(-INFINITY);
  for (size_t k = 0; k < columns; k++) {
    f32x16 w = gather_rows(weight + k, stride, rows);
    least = smaller(least, w);
    greatest = larger(greatest, w);
  }
  return fit_grid(g, least, greatest, shrink);
}

static void quantize(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_quantize_args* a = opaque;
  const gpi_grid_args* g = &a->grid;
  size_t row = chunk * LANES, rows = a->rows - row < LANES ? a->rows - row : LANES;
  size_t groups = (a->columns + g->group - 1) / g->group;
  const float* weight = a->weight + row * a->weight_stride;
  float *scales = a->scales + row * groups, *zeros = a->zeros + row * groups;
  for (size_t group = 0; group < groups; group++) {
    size_t first = group * g->group;
    size_t end = first + g->group < a->columns ? first + g->group : a->columns;
    grid16 grid;
    if (a->fitted) {
      grid =
          make_grid(g, gather_rows(scales + group, groups, rows), gather_rows(zeros + group, groups, rows));
    } else {
      grid = fit_rows(g, weight + first, a->weight_stride, rows, end - first, a->shrink);
      scatter_rows(scales + group, groups, rows, grid.scale);
      scatter_rows(zeros + group, groups, rows, grid.zero);
    }
    for (size_t k = first; k < end; k++) {
      f32x16 code = code16(g, &grid, gather_rows(weight + k, a->weight_stride, rows));
      if (a->codes) scatter_codes(a->codes + row * a->columns + k, a->columns, rows, code);
      if (a->values)
        scatter_rows(a->values + row * a->values_stride + k, a->values_stride, rows, value16(&grid, code));
    }
  }
}

// MARK: The sweep
//
// Sixteen rows at a time, transposed so that a row is a lane:   tile [column of the block][16 rows]

/// What sixteen rows of a mask say about a column; 0 where there is no mask.
INLINE f32x16 mask_lanes(const gpi_sweep_args* a, size_t row, size_t rows, size_t column) {
  if (!a->mask) return splat(0);
  float lanes[LANES];
  for (size_t i = 0; i < LANES; i++)
    lanes[i] = a->mask[(row + (i < rows ? i : rows - 1)) * a->result_stride + column];
  return load(lanes);
}

/// Marks, in each lane, the `drop` smallest scores of `run` columns; of equals the first. What `masked` holds
/// is marked already, and counts among them.
INLINE void choose_run(const f32x16* tile, const float* diagonal, size_t diagonal_step, size_t run,
                       size_t drop, f32x16* masked) {
  f32x16 scores[16];
  for (size_t i = 0; i < run; i++) {
    f32x16 scaled = tile[i] / splat(diagonal[i * diagonal_step]);
    scores[i] = pick((i32x16)(masked[i] != splat(0)), splat(-1), scaled * scaled);
  }
  for (size_t i = 0; i < run; i++) {
    f32x16 rank = splat(0);
    for (size_t j = 0; j < run; j++) {
      if (j == i) continue;
      i32x16 before = j < i ? (i32x16)(scores[j] <= scores[i]) : (i32x16)(scores[j] < scores[i]);
      rank = rank + pick(before, splat(1), splat(0));
    }
    masked[i] = pick((i32x16)(rank < splat((float)drop)), splat(1), masked[i]);
  }
}

static void sweep(const void* opaque, size_t chunk, size_t thread) {
  const gpi_sweep_job* job = opaque;
  const gpi_sweep_args* a = job->args;
  const gpi_grid_args* g = &a->grid;
  f32x16* tile = (f32x16*)(job->scratch + thread * job->scratch_stride);
  size_t row = chunk * LANES, rows = a->rows - row < LANES ? a->rows - row : LANES;
  float* weight = a->weight + row * a->weight_stride + a->first;
  const float* factor = a->factor + a->first * a->factor_stride + a->first;
  for (size_t k = 0; k < a->count; k++) tile[k] = gather_rows(weight + k, a->weight_stride, rows);

  f64x16 loss = {0};
  f32x16 masked[16];
  grid16 grid = make_grid(g, splat(1), splat(0));
  size_t current = SIZE_MAX;
  for (size_t k = 0; k < a->count; k++) {
    size_t column = a->first + k;
    f32x16 w = tile[k], q = w;
    if (g->bits) {
      size_t group = a->group_of ? (size_t)a->group_of[column] : column / g->group;
      float *scales = a->scales + row * a->groups + group, *zeros = a->zeros + row * a->groups + group;
      if (!a->group_of && column % g->group == 0) {
        size_t width = a->columns - column < g->group ? a->columns - column : g->group;
        if (k + width <= a->count) {
          f32x16 least = w, greatest = w;
          for (size_t i = 1; i < width; i++) {
            least = smaller(least, tile[k + i]);
            greatest = larger(greatest, tile[k + i]);
          }
          grid = fit_grid(g, least, greatest, 1.0f);
        } else {
          grid = fit_rows(g, weight + k, a->weight_stride, rows, width, 1.0f);
        }
        scatter_rows(scales, a->groups, rows, grid.scale);
        scatter_rows(zeros, a->groups, rows, grid.zero);
        current = group;
      } else if (group != current) {
        grid = make_grid(g, gather_rows(scales, a->groups, rows), gather_rows(zeros, a->groups, rows));
        current = group;
      }
    }
    f32x16 zeroed = splat(0);
    if (a->keep_of) {
      size_t place = column % a->keep_of;
      if (place == 0) {
        for (size_t i = 0; i < a->keep_of; i++) masked[i] = mask_lanes(a, row, rows, column + i);
        choose_run(tile + k, factor + k * (a->factor_stride + 1), a->factor_stride + 1, a->keep_of,
                   a->keep_of - a->keep, masked);
      }
      zeroed = masked[place];
      if (a->mask) scatter_codes(a->mask + row * a->result_stride + column, a->result_stride, rows, zeroed);
    } else {
      zeroed = mask_lanes(a, row, rows, column);
    }
    i32x16 drop = (i32x16)(zeroed != splat(0));
    if (g->bits) {
      // A pruned weight is the grid's zero, wherever it lies.
      f32x16 code = pick(drop, grid.zero, code16(g, &grid, w));
      q = value16(&grid, code);
      if (a->codes) scatter_codes(a->codes + row * a->result_stride + column, a->result_stride, rows, code);
    }
    q = pick(drop, splat(0), q);
    tile[k] = q;
    f32x16 e = (w - q) / splat(factor[k * (a->factor_stride + 1)]);
    f64x16 wide = __builtin_convertvector(e, f64x16);
    loss = loss + wide * wide * 0.5;
    scatter_rows(a->error + row * a->count + k, a->count, rows, e);
    const float* u = factor + k * a->factor_stride;
    f32x16 minus = -e;
    for (size_t j = k + 1; j < a->count; j++) tile[j] = fma16(minus, splat(u[j]), tile[j]);
  }
  for (size_t k = 0; k < a->count; k++) scatter_rows(weight + k, a->weight_stride, rows, tile[k]);
  for (size_t i = 0; i < rows; i++) a->loss[row + i] += loss[i];
}

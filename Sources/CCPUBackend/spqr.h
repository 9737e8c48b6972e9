// The sweep of SpQR (arXiv 2306.03078): as in solve.h sixteen rows are the lanes of a tile; these sixteen
// also share the second level of statistics.
#pragma once

#include "solve.h"

INLINE float least_lane(f32x16 v, size_t rows) {
  float least = INFINITY;
  for (size_t i = 0; i < rows; i++) least = v[i] < least ? v[i] : least;
  return least;
}

INLINE float greatest_lane(f32x16 v, size_t rows) { return -least_lane(-v, rows); }

/// Rounds a number of either sign to what the type holds.
INLINE float round_statistic(float x, gpi_scale_type type) {
  if (type == GPI_SCALE_FLOAT32 || x == 0) return x;
  float size = round_scale(splat(fabsf(x)), type)[0];
  return x < 0 ? -size : size;
}

/// Quantises one statistic of sixteen rows to codes with a scale and a zero of their own, and gives back what
/// the codes stand for.
INLINE f32x16 quantize_statistic(f32x16 value, size_t rows, int bits, gpi_scale_type type, f32x16* code,
                                 float* scale, float* zero) {
  float least = least_lane(value, rows), greatest = greatest_lane(value, rows);
  float top = (float)((1 << bits) - 1);
  if (least == greatest) {
    // One step up to the value itself, so that what is stored is as exact as the type.
    *scale = round_statistic(least == 0 ? 1.0f : fabsf(least), type);
    *zero = least < 0 ? 1.0f : 0.0f;
    *code = splat(least > 0 ? 1.0f : 0.0f);
    return splat(*scale) * (*code - splat(*zero));
  }
  *scale = round_statistic((greatest - least) / top, type);
  *zero = round_statistic(-least / *scale, type);
  *code = clamp16(round16(clamp16(value / splat(*scale) + splat(*zero), -0x1p20f, 0x1p20f)), 0, top);
  return splat(*scale) * (*code - splat(*zero));
}

INLINE f32x16 squared_error(const gpi_grid_args* g, const grid16* grid, f32x16 w, float diagonal) {
  f32x16 e = (w - value16(grid, code16(g, grid, w))) / splat(diagonal);
  return e * e;
}

/// Marks the weights of a group without which the others would be rounded much better.
INLINE void find_outliers(const gpi_grid_args* g, const f32x16* tile, const float* diagonal, size_t step,
                          size_t width, float threshold, f32x16* outlier) {
  f32x16 least = tile[0], greatest = tile[0];
  for (size_t i = 1; i < width; i++) {
    least = smaller(least, tile[i]);
    greatest = larger(greatest, tile[i]);
  }
  grid16 whole = fit_grid(g, least, greatest, 1.0f);
  f32x16 errors[GPI_SPQR_GROUP], sum = splat(0);
  for (size_t i = 0; i < width; i++) {
    errors[i] = squared_error(g, &whole, tile[i], diagonal[i * step]);
    sum = sum + errors[i];
  }
  for (size_t i = 0; i < width; i++) {
    f32x16 low = splat(INFINITY), high = splat(-INFINITY), without = splat(0);
    for (size_t j = 0; j < width; j++) {
      if (j == i) continue;
      low = smaller(low, tile[j]);
      high = larger(high, tile[j]);
    }
    grid16 rest = fit_grid(g, low, high, 1.0f);
    for (size_t j = 0; j < width; j++)
      if (j != i) without = without + squared_error(g, &rest, tile[j], diagonal[j * step]);
    i32x16 gains = (i32x16)(sum - errors[i] - without > splat(threshold));
    outlier[i] = pick(gains, splat(1), splat(0));
  }
}

static void spqr(const void* opaque, size_t chunk, size_t thread) {
  const gpi_spqr_job* job = opaque;
  const gpi_spqr_args* a = job->args;
  const gpi_grid_args* g = &a->grid;
  f32x16* tile = (f32x16*)(job->scratch + thread * job->scratch_stride);
  size_t row = chunk * LANES, rows = a->rows - row < LANES ? a->rows - row : LANES;
  float* weight = a->weight + row * a->weight_stride + a->first;
  const float* factor = a->factor + a->first * a->factor_stride + a->first;
  size_t step = a->factor_stride + 1;
  for (size_t k = 0; k < a->count; k++) tile[k] = gather_rows(weight + k, a->weight_stride, rows);

  f64x16 loss = {0};
  f32x16 outlier[GPI_SPQR_GROUP];
  grid16 grid = make_grid(g, splat(1), splat(0));
  for (size_t k = 0; k < a->count; k++) {
    size_t column = a->first + k, group = column / g->group;
    if (column % g->group == 0) {
      size_t width = a->columns - column < g->group ? a->columns - column : g->group;
      for (size_t i = 0; i < width; i++) outlier[i] = splat(0);
      if (a->threshold < INFINITY && width > 1)
        find_outliers(g, tile + k, factor + k * step, step, width, a->threshold, outlier);
      f32x16 least = splat(INFINITY), greatest = splat(-INFINITY);
      for (size_t i = 0; i < width; i++) {
        i32x16 out = (i32x16)(outlier[i] != splat(0));
        least = smaller(least, pick(out, splat(INFINITY), tile[k + i]));
        greatest = larger(greatest, pick(out, splat(-INFINITY), tile[k + i]));
      }
      // A group of nothing but outliers needs no grid of its own.
      i32x16 nothing = (i32x16)(least > greatest);
      grid = fit_grid(g, pick(nothing, splat(0), least), pick(nothing, splat(0), greatest), 1.0f);
      if (a->statistic_bits) {
        size_t place = chunk * a->groups + group;
        f32x16 code;
        f32x16 scale = quantize_statistic(grid.scale, rows, a->statistic_bits, g->scale_type, &code,
                                          a->scale_scales + place, a->scale_zeros + place);
        scatter_codes(a->scale_codes + row * a->groups + group, a->groups, rows, code);
        // The zero that goes with the scale as it is now.
        f32x16 zero = grid.zero * grid.scale / scale;
        zero = quantize_statistic(zero, rows, a->statistic_bits, g->scale_type, &code, a->zero_scales + place,
                                  a->zero_zeros + place);
        scatter_codes(a->zero_codes + row * a->groups + group, a->groups, rows, code);
        grid = make_grid(g, scale, zero);
      }
      scatter_rows(a->scales + row * a->groups + group, a->groups, rows, grid.scale);
      scatter_rows(a->zeros + row * a->groups + group, a->groups, rows, grid.zero);
    }
    f32x16 w = tile[k], u = splat(factor[k * step]);
    f32x16 code = code16(g, &grid, w), q = value16(&grid, code);
    f32x16 error = (w - q) / u;
    i32x16 out = (i32x16)(error * error > splat(a->threshold));
    f32x16 kept = w;
    for (size_t i = 0; i < LANES; i++) kept[i] = round_statistic(w[i], g->scale_type);
    q = pick(out, kept, q);
    scatter_codes(a->codes + row * a->columns + column, a->columns, rows, code);
    scatter_codes(a->outliers + row * a->columns + column, a->columns, rows, pick(out, splat(1), splat(0)));
    tile[k] = q;
    f32x16 e = (w - q) / u;
    f64x16 wide = __builtin_convertvector(e, f64x16);
    loss = loss + wide * wide * 0.5;
    scatter_rows(a->error + row * a->count + k, a->count, rows, e);
    const float* later = factor + k * a->factor_stride;
    f32x16 minus = -e;
    for (size_t j = k + 1; j < a->count; j++) tile[j] = fma16(minus, splat(later[j]), tile[j]);
  }
  for (size_t k = 0; k < a->count; k++) scatter_rows(weight + k, a->weight_stride, rows, tile[k]);
  for (size_t i = 0; i < rows; i++) a->loss[row + i] += loss[i];
}

// Operations on independent rows: norms (sums in double precision, 16 lanes in a fixed order), activations
// and gathers.
#pragma once

#include "bfloat16.h"
#include "kernels.h"
#include "vector.h"

INLINE f32x16 load_part(const float* row, size_t column, size_t columns) {
  return columns - column >= LANES ? load(row + column) : load_tail(row + column, columns - column);
}
INLINE f32x16 load_part_wide(const void* row, size_t column, size_t columns, gpi_type type) {
  if (columns - column >= LANES) return load_wide(row, column, type);
  return load_wide_tail(row, column, columns - column, type);
}
INLINE void store_part(float* row, size_t column, size_t columns, f32x16 value) {
  if (columns - column >= LANES)
    store(row + column, value);
  else
    store_tail(row + column, value, columns - column);
}

INLINE void norm_row(const gpi_norm_args* a, size_t row) {
  float* residual = a->residual + row * a->residual_stride;
  float* output = a->output + row * a->output_stride;
  f64x16 sums = {0};
  for (size_t c = 0; c < a->columns; c += LANES) {
    f32x16 value = load_part(residual, c, a->columns);
    if (a->adding) {
      value += load_part(a->adding + row * a->adding_stride, c, a->columns);
      store_part(residual, c, a->columns, value);
    }
    f64x16 wide = __builtin_convertvector(value, f64x16);
    sums += a->subtract_mean ? wide : wide * wide;
  }
  double mean = 0, power = sum16_double(sums) / (double)a->columns;
  if (a->subtract_mean) {
    mean = power;
    f64x16 squares = {0};
    for (size_t c = 0; c < a->columns; c += LANES) {
      f64x16 wide = __builtin_convertvector(load_part(residual, c, a->columns), f64x16) - mean;
      if (a->columns - c < LANES)
        for (size_t i = a->columns - c; i < LANES; i++) wide[i] = 0;
      squares += wide * wide;
    }
    power = sum16_double(squares) / (double)a->columns;
  }
  double factor = 1 / __builtin_sqrt(power + (double)a->epsilon);
  for (size_t c = 0; c < a->columns; c += LANES) {
    f64x16 wide = __builtin_convertvector(load_part(residual, c, a->columns), f64x16);
    f32x16 value = __builtin_convertvector((wide - mean) * factor, f32x16);
    value *= load_part_wide(a->weight, c, a->columns, a->weight_type);
    if (a->bias) value += load_part_wide(a->bias, c, a->columns, a->bias_type);
    store_part(output, c, a->columns, value);
  }
}

static void norm(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_norm_args* a = job->args;
  for (size_t row = chunk * job->chunk_rows; row < a->rows && row < (chunk + 1) * job->chunk_rows; row++)
    norm_row(a, row);
}

INLINE void map_row(const gpi_map map, const gpi_map_args* a, size_t row) {
  const float* gate = a->gate + row * a->gate_stride;
  const float* up = a->up ? a->up + row * a->up_stride : NULL;
  float* output = a->output + row * a->output_stride;
  for (size_t c = 0; c < a->columns; c += LANES) {
    f32x16 value = load_part(gate, c, a->columns);
    if (map == GPI_SILU) value = silu16(value);
    if (map == GPI_GELU) value = gelu16(value);
    if (map == GPI_GELU_TANH) value = gelu_tanh16(value);
    if (map == GPI_RELU) value = pick(value < 0.0f, splat(0), value);
    if (up) {
      f32x16 other = load_part(up, c, a->columns);
      value = map == GPI_ADD ? value + other : value * other;
    }
    store_part(output, c, a->columns, value);
  }
}

static void map(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_map_args* a = job->args;
  for (size_t row = chunk * job->chunk_rows; row < a->rows && row < (chunk + 1) * job->chunk_rows; row++) {
    switch (a->map) {
      case GPI_SILU:
        map_row(GPI_SILU, a, row);
        break;
      case GPI_GELU:
        map_row(GPI_GELU, a, row);
        break;
      case GPI_GELU_TANH:
        map_row(GPI_GELU_TANH, a, row);
        break;
      case GPI_RELU:
        map_row(GPI_RELU, a, row);
        break;
      case GPI_ADD:
        map_row(GPI_ADD, a, row);
        break;
    }
  }
}

/// Rows of one vector each; the last may be short.
static void narrow(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_narrow_args* a = job->args;
  size_t end = (chunk + 1) * job->chunk_rows * LANES;
  if (end > a->count) end = a->count;
  for (size_t i = chunk * job->chunk_rows * LANES; i < end; i += LANES) {
    u16x16 bits = round_bfloat16(load_part_wide(a->source, i, a->count, a->type));
    if (a->count - i >= LANES)
      *(u16x16_any*)(a->destination + i) = bits;
    else
      memcpy(a->destination + i, &bits, (a->count - i) * sizeof(uint16_t));
  }
}

static void gather(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_gather_args* a = job->args;
  for (size_t row = chunk * job->chunk_rows; row < a->rows && row < (chunk + 1) * job->chunk_rows; row++) {
    const char* source =
        (const char*)a->table + (size_t)a->indices[row] * a->table_stride * type_bytes(a->table_type);
    float* output = a->output + row * a->output_stride;
    for (size_t c = 0; c < a->columns; c += LANES) {
      f32x16 value = load_part_wide(source, c, a->columns, a->table_type);
      if (a->accumulate) value = load_part(output, c, a->columns) + value;
      store_part(output, c, a->columns, value);
    }
  }
}

// Drives the kernels of solve.h: runs of depth, blocked factors, quantised columns.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "include/gpi_solve.h"

// A run's operands of one register tile lie in the first-level cache together.
#define DEPTH 256
// Row tiles of one chunk, so that their packed run stays in the second-level cache.
#define CHUNK_ROWS 96
// Columns of a factor's diagonal block.
#define BLOCK 64

size_t gpi_product(gpi_cpu* cpu, const gpi_product_args* a) {
  if (a->rows == 0 || a->columns == 0) return 0;
  const gpi_kernels* kernels = cpu->kernels;
  gpi_product_job job = {.args = a};
  job.row_tiles = divide_up(a->rows, kernels->product_rows);
  job.column_tiles = divide_up(a->columns, kernels->product_columns);
  size_t a_floats = job.row_tiles * kernels->product_rows * DEPTH;
  size_t b_floats = job.column_tiles * kernels->product_columns * DEPTH;
  size_t bytes = (a_floats + b_floats) * sizeof(float);
  if (!gpi_reserve(cpu, bytes)) return bytes;
  job.packed_a = (float*)cpu->scratch;
  job.packed_b = job.packed_a + a_floats;
  job.chunk_tiles = at_least(CHUNK_ROWS / kernels->product_rows, 1);
  size_t threads = gpi_pool_threads(cpu->pool);
  while (job.chunk_tiles > 1 && divide_up(job.row_tiles, job.chunk_tiles) < 4 * threads)
    job.chunk_tiles = (job.chunk_tiles + 1) / 2;
  for (job.k0 = 0; job.k0 < a->depth; job.k0 += DEPTH) {
    job.depth = at_most(a->depth - job.k0, DEPTH);
    int small = a->rows * a->columns * job.depth < (1 << 16);
    size_t packs = divide_up(job.row_tiles, kernels->packed_tiles) + job.column_tiles;
    gpi_run(cpu, kernels->pack_product, &job, packs, small);
    gpi_run(cpu, kernels->product, &job, divide_up(job.row_tiles, job.chunk_tiles), small);
  }
  return 0;
}

size_t gpi_gram(gpi_cpu* cpu, const gpi_gram_args* a) {
  gpi_product_args product = {.a = a->input,
                              .a_row = 1,
                              .a_depth = a->stride,
                              .b = a->input,
                              .b_stride = a->stride,
                              .c = a->gram,
                              .c_stride = a->columns,
                              .rows = a->columns,
                              .columns = a->columns,
                              .depth = a->rows,
                              .factor = 1,
                              .upper = 1};
  if (!a->pairs) return gpi_product(cpu, &product);
  size_t most = at_most(divide_up(a->rows, 2), DEPTH), bytes = most * a->columns * sizeof(uint32_t);
  if (bytes == 0) return 0;
  uint32_t* paired = malloc(bytes);
  if (!paired) return bytes;
  size_t missing = 0;
  for (size_t row = 0; row < a->rows && !missing; row += 2 * most) {
    gpi_pair_job job = {.source = a->input + row * a->stride,
                        .source_stride = a->stride,
                        .rows = at_most(a->rows - row, 2 * most),
                        .columns = a->columns,
                        .target = paired,
                        .chunk_rows = 16};
    job.pairs = divide_up(job.rows, 2);
    gpi_run(cpu, cpu->kernels->pair_rows, &job, divide_up(job.pairs, job.chunk_rows),
            job.rows * a->columns < (1 << 14));
    product.a = product.b = (const float*)paired;
    product.a_depth = product.b_stride = a->columns;
    product.depth = job.pairs;
    product.pairs = 1;
    missing = gpi_product(cpu, &product);
  }
  free(paired);
  return missing;
}

void gpi_quantize(gpi_cpu* cpu, const gpi_quantize_args* a) {
  gpi_run(cpu, cpu->kernels->quantize, a, divide_up(a->rows, 16), a->rows * a->columns < (1 << 14));
}

size_t gpi_sweep(gpi_cpu* cpu, const gpi_sweep_args* a) {
  gpi_sweep_job job = {.args = a, .scratch_stride = GPI_SWEEP_COLUMNS * 16 * sizeof(float)};
  size_t bytes = gpi_pool_threads(cpu->pool) * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  job.scratch = cpu->scratch;
  gpi_run(cpu, cpu->kernels->sweep, &job, divide_up(a->rows, 16), a->rows * a->count * a->count < (1 << 16));
  return 0;
}

size_t gpi_spqr(gpi_cpu* cpu, const gpi_spqr_args* a) {
  gpi_spqr_job job = {.args = a, .scratch_stride = GPI_SWEEP_COLUMNS * 16 * sizeof(float)};
  size_t bytes = gpi_pool_threads(cpu->pool) * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  job.scratch = cpu->scratch;
  gpi_run(cpu, cpu->kernels->spqr, &job, divide_up(a->rows, 16), a->rows * a->count * a->count < (1 << 16));
  return 0;
}

// MARK: Factors

/// Reflects the upper triangle at the antidiagonal: row and column order reversed, then transposed.
static void reflect(float* matrix, size_t order) {
  for (size_t i = 0; i < order; i++) {
    for (size_t j = i; j < order - 1 - i; j++) {
      float* here = matrix + i * order + j;
      float* there = matrix + (order - 1 - j) * order + (order - 1 - i);
      float value = *here;
      *here = *there;
      *there = value;
    }
  }
}

/// RᵀR of a diagonal block, in place, upper. Returns the failing column or −1.
static ptrdiff_t factor_block(float* r, size_t stride, size_t order) {
  for (size_t i = 0; i < order; i++) {
    double sum = r[i * stride + i];
    for (size_t k = 0; k < i; k++) sum -= (double)r[k * stride + i] * r[k * stride + i];
    if (!(sum > 0) || !(sum < INFINITY)) return (ptrdiff_t)i;
    float pivot = (float)sqrt(sum);
    r[i * stride + i] = pivot;
    for (size_t j = i + 1; j < order; j++) {
      double rest = r[i * stride + j];
      for (size_t k = 0; k < i; k++) rest -= (double)r[k * stride + i] * r[k * stride + j];
      r[i * stride + j] = (float)(rest / pivot);
    }
  }
  return -1;
}

typedef struct {
  float* r;  // the diagonal block; the panel lies to its right
  size_t stride, order, columns;
} panel_job;

#define PANEL 256

/// Solves RᵀX = panel in place, a range of columns: rows from the top, each minus multiples of those above.
static void solve_panel(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const panel_job* job = opaque;
  size_t begin = job->order + chunk * PANEL;
  size_t end = at_most(begin + PANEL, job->order + job->columns);
  for (size_t i = 0; i < job->order; i++) {
    float* target = job->r + i * job->stride;
    for (size_t k = 0; k < i; k++) {
      const float* source = job->r + k * job->stride;
      float factor = source[i];
      for (size_t j = begin; j < end; j++) target[j] -= factor * source[j];
    }
    float pivot = target[i];
    for (size_t j = begin; j < end; j++) target[j] /= pivot;
  }
}

/// RᵀR = matrix, upper, in place.
static size_t factor_matrix(gpi_cpu* cpu, float* matrix, size_t order, ptrdiff_t* failed) {
  for (size_t start = 0; start < order; start += BLOCK) {
    size_t size = at_most(BLOCK, order - start), rest = order - start - size;
    float* diagonal = matrix + start * order + start;
    *failed = factor_block(diagonal, order, size);
    if (*failed >= 0) {
      *failed += (ptrdiff_t)start;
      return 0;
    }
    if (!rest) break;
    panel_job panel = {.r = diagonal, .stride = order, .order = size, .columns = rest};
    gpi_run(cpu, solve_panel, &panel, divide_up(rest, PANEL), rest * size * size < (1 << 16));
    gpi_product_args update = {.a = diagonal + size,
                               .a_row = 1,
                               .a_depth = order,
                               .b = diagonal + size,
                               .b_stride = order,
                               .c = diagonal + size * order + size,
                               .c_stride = order,
                               .rows = rest,
                               .columns = rest,
                               .depth = size,
                               .factor = -1,
                               .upper = 1};
    size_t missing = gpi_product(cpu, &update);
    if (missing) return missing;
  }
  return 0;
}

/// The inverse of an upper triangular block, in place.
static void invert_block(float* r, size_t stride, size_t order) {
  for (size_t j = order; j-- > 0;) {
    double pivot = 1.0 / r[j * stride + j];
    for (size_t c = order; c-- > j + 1;) {
      double sum = 0;
      for (size_t k = j + 1; k <= c; k++) sum += (double)r[j * stride + k] * r[k * stride + c];
      r[j * stride + c] = (float)(-sum * pivot);
    }
    r[j * stride + j] = (float)pivot;
  }
}

/// Inverts an upper triangular matrix in place, block rows from the bottom:
/// `X[i, later] = −X[i, i] · R[i, later] · X[later, later]`.
static size_t invert_matrix(gpi_cpu* cpu, float* matrix, size_t order) {
  size_t blocks = divide_up(order, BLOCK), bytes = BLOCK * order * sizeof(float);
  float* between = malloc(bytes);
  if (!between) return bytes;
  size_t missing = 0;
  for (size_t block = blocks; block-- > 0 && !missing;) {
    size_t start = block * BLOCK, size = at_most(BLOCK, order - start), rest = order - start - size;
    float* diagonal = matrix + start * order + start;
    invert_block(diagonal, order, size);
    if (!rest) continue;
    memset(between, 0, size * rest * sizeof(float));
    // X[later, later] is upper: its rows from k on have nothing left of column k.
    for (size_t k = 0; k < rest && !missing; k += DEPTH) {
      gpi_product_args first = {.a = diagonal + size + k,
                                .a_row = order,
                                .a_depth = 1,
                                .b = diagonal + (size + k) * order + size + k,
                                .b_stride = order,
                                .c = between + k,
                                .c_stride = rest,
                                .rows = size,
                                .columns = rest - k,
                                .depth = at_most(DEPTH, rest - k),
                                .factor = 1};
      missing = gpi_product(cpu, &first);
    }
    for (size_t i = 0; i < size; i++) memset(diagonal + i * order + size, 0, rest * sizeof(float));
    gpi_product_args second = {.a = diagonal,
                               .a_row = order,
                               .a_depth = 1,
                               .b = between,
                               .b_stride = rest,
                               .c = diagonal + size,
                               .c_stride = order,
                               .rows = size,
                               .columns = rest,
                               .depth = size,
                               .factor = -1};
    if (!missing) missing = gpi_product(cpu, &second);
  }
  free(between);
  return missing;
}

static void clear_lower(float* matrix, size_t order) {
  for (size_t i = 1; i < order; i++) memset(matrix + i * order, 0, i * sizeof(float));
}

// With P the reversal of the order and PHP = RᵀR:  H⁻¹ = UᵀU for U = P R⁻ᵀ P, one factor and one inverse.
size_t gpi_inverse_factor(gpi_cpu* cpu, float* matrix, size_t order, ptrdiff_t* failed) {
  *failed = -1;
  if (order == 0) return 0;
  reflect(matrix, order);
  size_t missing = factor_matrix(cpu, matrix, order, failed);
  if (missing) return missing;
  if (*failed >= 0) {
    *failed = (ptrdiff_t)order - 1 - *failed;
    return 0;
  }
  clear_lower(matrix, order);
  missing = invert_matrix(cpu, matrix, order);
  if (missing) return missing;
  reflect(matrix, order);
  return 0;
}

// MARK: Quadratic forms and selection

// Rows whose products with the matrix are held at a time.
#define FORM_ROWS 256

size_t gpi_quadratic_rows(gpi_cpu* cpu, const float* d, size_t d_stride, const float* h, size_t h_stride,
                          size_t rows, size_t columns, double* out) {
  size_t bytes = at_most(rows, FORM_ROWS) * columns * sizeof(float);
  float* product = malloc(at_least(bytes, 1));
  if (!product) return bytes;
  size_t missing = 0;
  for (size_t start = 0; start < rows && !missing; start += FORM_ROWS) {
    size_t count = at_most(rows - start, FORM_ROWS);
    memset(product, 0, count * columns * sizeof(float));
    gpi_product_args args = {.a = d + start * d_stride,
                             .a_row = d_stride,
                             .a_depth = 1,
                             .b = h,
                             .b_stride = h_stride,
                             .c = product,
                             .c_stride = columns,
                             .rows = count,
                             .columns = columns,
                             .depth = columns,
                             .factor = 1};
    missing = gpi_product(cpu, &args);
    if (missing) break;
    for (size_t row = 0; row < count; row++) {
      double sum = 0;
      const float* left = d + (start + row) * d_stride;
      for (size_t k = 0; k < columns; k++) sum += (double)left[k] * product[row * columns + k];
      out[start + row] = sum;
    }
  }
  free(product);
  return missing;
}

/// The bits of a float that is not negative are ordered as the float is: two passes over 16 bits each find
/// the greatest score to be chosen.
void gpi_select_smallest(const float* scores, size_t elements, size_t count, uint8_t* mask) {
  memset(mask, 0, elements);
  if (count == 0) return;
  if (count >= elements) {
    memset(mask, 1, elements);
    return;
  }
  size_t* histogram = calloc(1 << 16, sizeof(size_t));
  if (!histogram) abort();
  uint32_t threshold = 0;
  size_t left = count;
  for (int pass = 0; pass < 2; pass++) {
    memset(histogram, 0, (1 << 16) * sizeof(size_t));
    for (size_t i = 0; i < elements; i++) {
      uint32_t bits;
      memcpy(&bits, scores + i, sizeof bits);
      if (pass == 0) {
        histogram[bits >> 16]++;
      } else if (bits >> 16 == threshold) {
        histogram[bits & 0xFFFF]++;
      }
    }
    uint32_t bucket = 0;
    while (histogram[bucket] < left) left -= histogram[bucket++];
    threshold = pass == 0 ? bucket : threshold << 16 | bucket;
  }
  free(histogram);
  // `left` of the scores equal to the threshold are chosen, from the start.
  for (size_t i = 0; i < elements; i++) {
    uint32_t bits;
    memcpy(&bits, scores + i, sizeof bits);
    if (bits < threshold) {
      mask[i] = 1;
    } else if (bits == threshold && left > 0) {
      mask[i] = 1;
      left--;
    }
  }
}

// MARK: Statistics of channels

void gpi_channel_statistics(gpi_cpu* cpu, const gpi_channel_args* a) {
  gpi_run(cpu, cpu->kernels->channels, a, divide_up(a->columns, GPI_CHANNELS),
          a->rows * a->columns < (1 << 14));
}

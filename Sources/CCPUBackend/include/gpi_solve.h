// Dense float32 linear algebra for calibrated compression: products, triangular factors, and the column sweep
// of the optimal-brain-surgeon methods (GPTQ arXiv 2210.17323, SparseGPT 2301.00774).
//
// As everywhere in this library an element's bits depend neither on threads nor on the instruction set.
#pragma once

#include "gpi_cpu.h"

/// `c[m, n] += factor · Σ_k a[m, k] · b[k, n]`.
typedef struct {
  const float* a;  // element (m, k) at a[m · a_row + k · a_depth]
  size_t a_row, a_depth;
  const float* b;  // element (k, n) at b[k · b_stride + n]
  size_t b_stride;
  float* c;  // [rows, columns]
  size_t c_stride;
  size_t rows, columns, depth;
  float factor;
  int upper;  // 1: elements left of the diagonal need not be computed; what is there afterwards is undefined
  int pairs;  // 1: elements of a and b are pairs of bfloat16 (bfloat16.h)
} gpi_product_args;

/// Each returns 0, or the number of scratch bytes that could not be had.
size_t gpi_product(gpi_cpu* cpu, const gpi_product_args* args);

/// `gram[i, j] += Σ_row input[row, i] · input[row, j]` from the diagonal on.
typedef struct {
  const float* input;  // [rows, columns]
  size_t stride, rows, columns;
  float* gram;  // [columns, columns]
  int pairs;    // 1: the input is rounded to bfloat16; sums stay float32
} gpi_gram_args;
size_t gpi_gram(gpi_cpu* cpu, const gpi_gram_args* args);

/// Replaces a symmetric positive definite matrix, of which only the upper triangle is read, by the upper
/// triangular `U` with `UᵀU = matrix⁻¹`; the lower triangle becomes zero.
///
/// `failed_column` receives −1, or the column at which the matrix proved not to be positive definite; it is
/// then destroyed.
size_t gpi_inverse_factor(gpi_cpu* cpu, float* matrix, size_t order, ptrdiff_t* failed_column);

/// `out[n] = d[n, :] · h · d[n, :]ᵀ` for a symmetric `h` `[columns, columns]`, in double precision at the
/// end.
size_t gpi_quadratic_rows(gpi_cpu* cpu, const float* d, size_t d_stride, const float* h, size_t h_stride,
                          size_t rows, size_t columns, double* out);

/// How codes stand for values: `scale · (code − zero)`, codes 0 ..< 2^bits.
typedef enum {
  GPI_GRID_SYMMETRIC = 0,   // scale = 2·max|w| / (2^b − 1), zero = 2^(b−1)
  GPI_GRID_ASYMMETRIC = 1,  // zero rounded, 0 lies in the range
  GPI_GRID_NARROW = 2,      // scale = max|w| / (2^(b−1) − 1), zero = 2^(b−1), lowest code 1
  GPI_GRID_REAL_ZERO = 3,   // raw range, zero not rounded
  GPI_GRID_FULL = 4,        // scale = 2·max|w| / 2^b, zero = 2^(b−1) (ZeroQuant)
} gpi_grid;

/// What a scale is rounded to before it is used, so that codes fit the scale that will be stored.
typedef enum { GPI_SCALE_FLOAT32 = 0, GPI_SCALE_FLOAT16 = 1, GPI_SCALE_BFLOAT16 = 2 } gpi_scale_type;

typedef struct {
  gpi_grid grid;
  gpi_scale_type scale_type;
  int bits;
  size_t group;  // columns that share a scale, counted from column 0; the last group may be short
} gpi_grid_args;

/// Fits scales and zeros `[rows, ceil(columns / group)]` to the weights (times `shrink`, below 1 to clip), or
/// keeps those given when `fitted`; then writes codes, and the values they stand for into `values` (which may
/// be the weights). `codes` and `values` may be NULL.
typedef struct {
  gpi_grid_args grid;
  const float* weight;  // [rows, columns]
  size_t weight_stride;
  float *scales, *zeros;
  uint8_t* codes;  // [rows, columns], contiguous
  float* values;
  size_t values_stride;
  size_t rows, columns;
  float shrink;
  int fitted;
} gpi_quantize_args;
void gpi_quantize(gpi_cpu* cpu, const gpi_quantize_args* args);

/// The most columns of one block.
#define GPI_SWEEP_COLUMNS 256

/// One block of columns of the sweep. For each column `c` of `first ..< first + count`, left to right:
///
///     q = the value that w[:, c] becomes;   e = (w[:, c] − q) / U[c, c]
///     w[:, j] −= e · U[c, j]  for the later columns of the block;   w[:, c] = q
///
/// The columns behind the block are the caller's: `w[:, later] −= error · U[block, later]`, with
/// `gpi_product`.
typedef struct {
  gpi_grid_args grid;  // bits = 0: weights are only pruned
  float* weight;       // [rows, columns]
  size_t weight_stride;
  const float* factor;  // U [columns, columns]
  size_t factor_stride;
  float* error;  // [rows, count]
  float *scales, *zeros;
  /// [columns] the group of each column, whose scale and zero are given; NULL: groups in the order of the
  /// columns, fitted to the current weights when their first column is reached. A group that starts in a
  /// block ends in it, or starts with it.
  const int32_t* group_of;
  size_t groups;
  size_t result_stride;
  uint8_t* codes;  // [rows, result_stride] or NULL
  /// [rows, result_stride], 1 where the weight must become zero; added to where `keep_of` is set; NULL: none.
  uint8_t* mask;
  /// Of each `keep_of` columns keep `keep`, chosen by w² / U[c, c]² when their first is reached; 0: none. A
  /// block starts and ends between two such runs.
  size_t keep, keep_of;
  double* loss;  // [rows]: e² / 2 is added
  size_t rows, first, count;
  size_t columns;  // that are swept in all: groups end there
} gpi_sweep_args;
size_t gpi_sweep(gpi_cpu* cpu, const gpi_sweep_args* args);

/// Sets `mask` to 1 at the `count` smallest of `scores` (none negative); of equals the first.
void gpi_select_smallest(const float* scores, size_t elements, size_t count, uint8_t* mask);

/// Sums over the rows of `input` `[rows, columns]`, added to what is there; `absmax`, `least` and `greatest`
/// keep their extremes. All `[columns]`.
typedef struct {
  const float* input;
  size_t stride, rows, columns;
  double *squares, *sizes;
  float *absmax, *least, *greatest;
} gpi_channel_args;
void gpi_channel_statistics(gpi_cpu* cpu, const gpi_channel_args* args);

/// The most columns of a group of `gpi_spqr`.
#define GPI_SPQR_GROUP 64

/// One block of columns of SpQR's sweep. Sixteen rows share a second level of statistics:
///
///     scale[n, g] = scale_scales[n / 16, g] · (scale_codes[n, g] − scale_zeros[n / 16, g]),  the zeros alike
///
/// A weight whose squared error over U[c, c]² exceeds `threshold` keeps its value, rounded to the scales'
/// type. Blocks start and end between groups.
typedef struct {
  gpi_grid_args grid;
  float* weight;  // [rows, columns]; afterwards what the weights became
  size_t weight_stride;
  const float* factor;
  size_t factor_stride;
  float* error;                       // [rows, count]
  float *scales, *zeros;              // [rows, groups], as the codes give them
  int statistic_bits;                 // 0: scales and zeros are kept as they are fitted
  uint8_t *scale_codes, *zero_codes;  // [rows, groups]
  float *scale_scales, *scale_zeros, *zero_scales, *zero_zeros;  // [ceil(rows / 16), groups]
  uint8_t *codes, *outliers;                                     // [rows, columns]
  float threshold;                                               // INFINITY: no outliers
  double* loss;                                                  // [rows]
  size_t rows, columns, first, count, groups;
} gpi_spqr_args;
size_t gpi_spqr(gpi_cpu* cpu, const gpi_spqr_args* args);

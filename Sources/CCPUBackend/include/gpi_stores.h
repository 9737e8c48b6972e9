// Products with quantised weights. The stores are those of Compute's `LinearWeight`; pointers are checked by
// the caller.
#pragma once

#include "gpi_cpu.h"

typedef enum {
  GPI_STORE_INTEGER,   // bits 2, 3, 4 or 8; W = scale · (code − zero)
  GPI_STORE_SPQR,      // the same with quantised scales and zeros, and weights of their own
  GPI_STORE_CODEBOOK,  // 4 bits; W = table[code] · scale
  GPI_STORE_FLOAT8,    // E4M3; W = code · scale
  GPI_STORE_SPARSE,    // a bit mask, and the weights it keeps as `value_type` or, with bits, as codes
  GPI_STORE_Q4_0,      // ggml blocks
  GPI_STORE_Q8_0,
  GPI_STORE_Q4_K,
  GPI_STORE_Q6_K
} gpi_store;

typedef enum { GPI_ZERO_MIDPOINT, GPI_ZERO_INTEGERS, GPI_ZERO_REALS } gpi_zero;

/// What happens to activations before they are multiplied.
typedef enum {
  GPI_KEEP,
  GPI_INT8_TOKEN,     // int8 by each row's largest size
  GPI_INT8_TENSOR,    // int8 by a fixed scale and zero
  GPI_FLOAT8_GROUPS,  // E4M3 by the largest size of each run of `rounding_group` inputs of a row
  GPI_FLOAT8_TENSOR   // E4M3 by a fixed scale
} gpi_rounding;

typedef struct {
  gpi_store store;
  int bits;
  const void* codes;
  size_t row_bytes;
  size_t group;       // inputs that share a scale
  size_t groups;      // scales of a row
  size_t group_rows;  // outputs that share a row of scales
  size_t scale_count;
  const void* scales;
  gpi_type scale_type;
  gpi_zero zero;
  const void* zeros;  // uint8 or `zero_type`, laid out as the scales
  gpi_type zero_type;
  const int32_t* order;   // stored column j is input order[j]; NULL: j
  const float* table;     // codebook: 16 values
  const int32_t* zeroed;  // ascending inputs that count as 0
  size_t zeroed_count;

  // Sparse. `bits` is 0 for floats.
  const uint8_t* mask;  // [outputs, mask_bytes], the lowest bit first
  size_t mask_bytes;
  const int64_t* starts;  // where rows begin in `codes`, in elements or words; NULL: 2:4, all equally long
  gpi_type value_type;
  size_t code_bytes;  // of all codes

  // SpQR. Grids are [outputs / group_rows, groups].
  const uint32_t *scale_codes, *zero_codes;
  size_t statistic_words;  // words of a row of scale codes
  int statistic_bits;
  const void *scale_scales, *scale_zeros, *zero_scales, *zero_zeros;
  gpi_type scale_scales_type, scale_zeros_type, zero_scales_type, zero_zeros_type;
  const int32_t *outlier_rows, *outlier_columns;
  const void* outlier_values;
  gpi_type outlier_type;

  gpi_rounding rounding;
  size_t rounding_group;
  float rounding_scale;
  int rounding_zero;
  float outlier_threshold;  // sizes from here on are not rounded (GPI_INT8_TOKEN)
} gpi_store_args;

/// As `gpi_linear`; the weight in `args` is not looked at. With `input_type` GPI_BFLOAT16 integer codes of 4
/// and 8 bits with groups that are powers of two from 16 on, or one a row, meet inputs rounded to bfloat16
/// (stored_pairs.h); everything else is multiplied in float32.
size_t gpi_linear_stored(gpi_cpu* cpu, const gpi_linear_args* args, const gpi_store_args* store);

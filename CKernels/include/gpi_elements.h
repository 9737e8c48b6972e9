// What elements are.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Types of elements. Activations, weights and caches are 16-bit; float32 is for logits, biases and tables.
typedef enum {
  GPI_KERNEL_BFLOAT16 = 0,
  GPI_KERNEL_FLOAT16 = 1,
  GPI_KERNEL_FLOAT32 = 2,
} gpi_kernel_element;

/// What the components of cached keys and values are.
typedef enum {
  /// Elements of the activations' type.
  GPI_KERNEL_CACHE_ELEMENTS = 0,
  /// Codes of 8 bits, int8 or E4M3, with a scale for each head's key, or value, at a position: its largest
  /// size / 127, or / 448.
  GPI_KERNEL_CACHE_INT8 = 1,
  GPI_KERNEL_CACHE_FLOAT8 = 2,
} gpi_kernel_cache_codes;

/// What activations are rounded to for a product.
typedef enum {
  GPI_KERNEL_KEEP_ACTIVATIONS = 0,
  /// Each row is rounded to int8. INT8 codes without zeros only.
  GPI_KERNEL_ROUND_TO_INT8 = 1,
  /// Each row is rounded to E4M3. FLOAT8 codes only, on devices of compute capability 8.9 and later.
  GPI_KERNEL_ROUND_TO_FLOAT8 = 2,
} gpi_kernel_rounding;

/// Rows that are rounded for the products that read them, as `gpi_kernel_weight_format` of those says.
typedef struct {
  /// KEEP_ACTIVATIONS: nothing is rounded.
  gpi_kernel_rounding rounding;
  float outlier_threshold;
  float activation_scale;
  /// As much as `gpi_kernel_table.workspace` asks for so many rows of such a product; aligned to 256.
  void* rows;
} gpi_kernel_rounded_rows;

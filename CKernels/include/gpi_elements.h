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

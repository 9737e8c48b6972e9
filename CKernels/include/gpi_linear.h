// Arguments of products with weights, of 16 bits and quantised.
#pragma once

#include "gpi_elements.h"

/// `output = input * transposed(weight) + bias`, or `output += ...` when `accumulate`. Products are summed in
/// float32 and rounded once. A row of the output depends on its row of the input only, never on `rows`.
typedef struct {
  gpi_kernel_element element;
  /// `element`, or float32
  gpi_kernel_element output_element;
  bool accumulate;
  int32_t rows;
  int32_t outputs;
  int32_t inputs;
  /// [rows, inputs]
  const void* input;
  int64_t input_stride;
  /// [outputs, inputs]
  const void* weight;
  int64_t weight_stride;
  /// [outputs], or null
  const float* bias;
  /// [rows, outputs]
  void* output;
  int64_t output_stride;
  /// Scratch memory of `workspace_bytes`, as `gpi_kernel_table.workspace` asks for.
  void* workspace;
  int64_t workspace_bytes;
} gpi_kernel_linear;

/// What the codes of a quantised weight are.
typedef enum {
  /// Of 2, 3, 4 and 8 bits: weight = scale * (code - zero)
  GPI_KERNEL_INT4 = 0,
  GPI_KERNEL_INT2 = 1,
  GPI_KERNEL_INT3 = 2,
  GPI_KERNEL_INT8 = 3,
  /// E4M3: weight = scale * code
  GPI_KERNEL_FLOAT8 = 4,
  /// No codes but 16-bit elements of the activations' type; 2:4 weights only.
  GPI_KERNEL_ELEMENTS = 5,
} gpi_kernel_code;

/// Which inputs of an output have a code.
typedef enum {
  GPI_KERNEL_EVERY_INPUT = 0,
  /// Two of every four neighbours; the others are 0. ELEMENTS, INT4 and INT8 only.
  GPI_KERNEL_TWO_OF_FOUR = 1,
} gpi_kernel_sparsity;

/// The form of a quantised weight.
typedef struct {
  gpi_kernel_code code;
  gpi_kernel_sparsity sparsity;
  int32_t outputs;
  /// Of 2:4 weights a multiple of 4.
  int32_t inputs;
  /// Inputs that share a scale: a multiple of 16 (2:4: of 32), or `inputs`.
  int32_t group;
  /// Of ELEMENTS: that of the elements.
  gpi_kernel_element scale_element;
  /// Each group has a zero of its own; else every zero is the middle of the codes. Not of FLOAT8.
  bool has_zeros;
  gpi_kernel_rounding rounding;
  /// When rounding: components from this size on are multiplied unrounded; infinity for none. INT8 only.
  float outlier_threshold;
  /// When rounding: the scale of every row; 0 for each row's largest size / 127, or / 448.
  float activation_scale;
} gpi_kernel_weight_format;

/// Brings a quantised weight into the layout that its products read, once when a model is loaded.
typedef struct {
  /// That of the scales, as `format` says.
  gpi_kernel_element element;
  gpi_kernel_weight_format format;
  /// [outputs] rows, each a stream of codes with the first in the lowest bits of words of 4 bytes; of 2:4
  /// weights those that are kept
  const void* codes;
  /// Of 2:4 weights [outputs, ceil(inputs / 8)]: bit i % 8 of byte i / 8 when input i is kept; else null.
  const uint8_t* mask;
  /// Bytes from one row to the next; a multiple of 4 but for codes of 8 bits.
  int64_t code_stride;
  /// [outputs, ceil(inputs / group)]; null for ELEMENTS
  const void* scales;
  /// The same of zeros in units of codes, or null.
  const uint8_t* zeros;
  /// `gpi_kernel_table.packed_bytes` of them, aligned to 256
  void* packed;
} gpi_kernel_repack;

/// As gpi_kernel_linear, with a weight that was packed.
typedef struct {
  gpi_kernel_element element;
  /// `element`, or float32
  gpi_kernel_element output_element;
  bool accumulate;
  int32_t rows;
  gpi_kernel_weight_format format;
  /// What gpi_kernel_repack has written.
  const void* packed;
  /// [rows, inputs], in the order of the codes
  const void* input;
  int64_t input_stride;
  /// The input's rows as a norm or an activation has rounded them, the way `format` says; null rounds them
  /// here.
  const void* rounded;
  /// [outputs], or null
  const float* bias;
  /// [rows, outputs]
  void* output;
  int64_t output_stride;
  /// Scratch memory of `workspace_bytes`, as `gpi_kernel_table.workspace` asks for.
  void* workspace;
  int64_t workspace_bytes;
} gpi_kernel_quantized_linear;

/// Rows `first ..< end`, which have one adapter.
typedef struct {
  /// [rank, inputs], contiguous
  const void* down;
  /// [outputs, rank], contiguous, aligned to 16 bytes
  const void* up;
  int32_t first;
  int32_t end;
  /// Multiple of 16.
  int32_t rank;
  float scale;
} gpi_kernel_lora_run;

/// `output += scale * (input * down^T) * up^T` in the rows of each run; no row is in two.
typedef struct {
  gpi_kernel_element element;
  gpi_kernel_element output_element;
  int32_t rows;
  int32_t outputs;
  int32_t inputs;
  /// [rows, inputs]
  const void* input;
  int64_t input_stride;
  /// [rows, the largest rank] of scratch memory, rows a multiple of 8 elements apart, aligned to 16 bytes
  void* shrunk;
  int64_t shrunk_stride;
  /// [rows, outputs]
  void* output;
  int64_t output_stride;
  /// On the host.
  const gpi_kernel_lora_run* runs;
  int32_t run_count;
} gpi_kernel_lora;

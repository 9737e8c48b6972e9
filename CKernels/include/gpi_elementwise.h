// Arguments of the operations on rows: norms, rope, activations, embedding, the cache's new tokens.
#pragma once

#include "gpi_elements.h"

/// `residual += input` where there is an input, rounded; then `output = norm(residual)`. All [rows, width].
typedef struct {
  gpi_kernel_element element;
  int32_t rows;
  int32_t width;
  float epsilon;
  void* residual;
  /// or null
  const void* input;
  /// [width]
  const void* weight;
  /// [width], or null; layer norm only
  const void* bias;
  void* output;
  gpi_kernel_rounded_rows rounded;
} gpi_kernel_norm;

/// Rotates the first `rotary` components of each head in place.
typedef struct {
  gpi_kernel_element element;
  /// Pairs are (2i, 2i + 1); else (i, i + rotary / 2).
  bool interleaved;
  int32_t tokens;
  int32_t query_heads;
  int32_t key_heads;
  int32_t head_dimension;
  /// Even, at most `head_dimension`.
  int32_t rotary;
  /// [tokens, query_heads * head_dimension]
  void* query;
  int64_t query_stride;
  /// [tokens, key_heads * head_dimension]
  void* key;
  int64_t key_stride;
  /// [tokens]: rows of the table
  const int32_t* positions;
  /// [positions, rotary]: the cosines of the pairs, then their sines
  const float* table;
} gpi_kernel_rope;

/// Copies each token's key and value into its slot of one layer's cache
/// [block][0 key, 1 value][head][16 tokens][head_dimension]; of codes, [block][0 key, 1 value][head] of codes
/// [16 tokens][head_dimension] and then float scales [16 tokens].
typedef struct {
  gpi_kernel_element element;
  gpi_kernel_cache_codes codes;
  int32_t tokens;
  int32_t heads;
  int32_t head_dimension;
  /// [tokens, heads * head_dimension]
  const void* key;
  int64_t key_stride;
  const void* value;
  int64_t value_stride;
  /// [tokens]: 16 * block + place in the block; -1 skips the token
  const int32_t* slots;
  void* cache;
} gpi_kernel_append;

typedef enum {
  GPI_KERNEL_SILU = 0,
  GPI_KERNEL_GELU = 1,
  GPI_KERNEL_GELU_TANH = 2,
  GPI_KERNEL_RELU = 3,
} gpi_kernel_activation_kind;

/// `output = activation(gate) * up`, or `activation(gate)` where `up` is null. All [rows, width].
typedef struct {
  gpi_kernel_element element;
  gpi_kernel_activation_kind kind;
  int32_t rows;
  int32_t width;
  const void* gate;
  const void* up;
  /// Of gate, and of up.
  int64_t input_stride;
  void* output;
  gpi_kernel_rounded_rows rounded;
} gpi_kernel_activation;

/// `accumulator += input`, rounded once.
typedef struct {
  gpi_kernel_element element;
  int64_t count;
  void* accumulator;
  const void* input;
} gpi_kernel_add;

/// `output[i] = table[rows[i]]`, and `+ position_table[positions[i]]` where there is one. Also gathers rows
/// of any matrix.
typedef struct {
  gpi_kernel_element element;
  int32_t count;
  int32_t width;
  /// [count]
  const int32_t* rows;
  /// [any, width]
  const void* table;
  /// 0 when rows are contiguous.
  int64_t table_stride;
  /// [count], or null together with the table of positions
  const int32_t* positions;
  const void* position_table;
  /// [count, width]
  void* output;
} gpi_kernel_embedding;

/// `output[row][j] = input[row][order[j]]`: activations in the order in which a weight's inputs were sorted.
typedef struct {
  gpi_kernel_element element;
  int32_t rows;
  int32_t width;
  /// [width]
  const int32_t* order;
  /// [rows, any]
  const void* input;
  int64_t input_stride;
  /// [rows, width]
  void* output;
} gpi_kernel_gather_columns;

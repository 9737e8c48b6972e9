// Arguments of the row-wise operations, and the functions that launch them.
//
// All matrices are row-major with `width` contiguous elements a row; pointers are device memory. Any width is
// legal: rows that are not a multiple of 16 bytes, or not aligned to it, go element by element.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "gemm/row_codes.h"

namespace gpu {

enum class ElementType : int32_t { bfloat16, float16 };

/// `residual += input` where there is an input, rounded to the element type; then `output = norm(residual)`,
/// computed from the rounded residual in float.
struct NormArguments {
  ElementType type;
  int rows;
  int width;
  /// [rows, width]; only read when there is no input.
  void* residual;
  /// [rows, width] or null.
  const void* input;
  /// [width]
  const void* weight;
  /// [width] or null; layer norm only.
  const void* bias;
  /// [rows, width]
  void* output;
  float epsilon;
  /// The output's rows as codes, too, where there is room for codes.
  RowCodes rounded = {};
};

/// x / sqrt(mean(x²) + ε) · weight (Zhang and Sennrich 2019, arXiv 1910.07467).
Status rms_norm(Stream stream, const NormArguments& arguments);
/// (x − mean) / sqrt(variance + ε) · weight + bias (Ba, Kiros and Hinton 2016, arXiv 1607.06450).
Status layer_norm(Stream stream, const NormArguments& arguments);

enum class RotaryPairing : int32_t {
  /// (i, i + rotary / 2)
  halves,
  /// (2i, 2i + 1)
  interleaved,
};

/// Rotates the first `rotary` components of each head of query and key in place (Su et al. 2021, arXiv
/// 2104.09864).
struct RopeArguments {
  ElementType type;
  RotaryPairing pairing;
  int tokens;
  int query_heads;
  int key_heads;
  int head_dimension;
  /// Even, at most `head_dimension`.
  int rotary;
  /// [tokens, query_heads, head_dimension]
  void* query;
  /// [tokens, key_heads, head_dimension]
  void* key;
  /// [tokens]: row of `table`
  const int32_t* positions;
  /// float [positions, rotary]: the cosines of the pairs, then their sines
  const float* table;
  /// Elements from one token to the next; 0 when tokens are contiguous.
  int64_t query_stride = 0;
  int64_t key_stride = 0;
};

Status rope(Stream stream, const RopeArguments& arguments);

enum class ActivationKind : int32_t {
  /// x / (1 + e^−x)
  silu,
  /// x · Φ(x), with the error function
  gelu,
  /// The tanh form of gelu
  gelu_tanh,
  relu,
};

/// `output = activation(gate) · up`, or `activation(gate)` where `up` is null.
struct ActivationArguments {
  ElementType type;
  ActivationKind kind;
  int rows;
  int width;
  const void* gate;
  const void* up;
  /// Elements from one row of gate, and of up, to the next: `2 · width` when a fused projection made both.
  int64_t input_stride;
  /// [rows, width]
  void* output;
  /// As of norms.
  RowCodes rounded = {};
};

Status activation(Stream stream, const ActivationArguments& arguments);

/// `accumulator += input`, rounded to the element type.
struct AddArguments {
  ElementType type;
  /// Elements of both; their shape does not matter.
  int64_t count;
  void* accumulator;
  const void* input;
};

/// `invalid_arguments` for a negative count, or one of more blocks than a grid has.
Status add(Stream stream, const AddArguments& arguments);

/// `output[t] = table[ids[t]]`, and `+ position_table[positions[t]]` where there is one.
struct EmbeddingArguments {
  ElementType type;
  int tokens;
  int width;
  /// [tokens]; the caller has checked that each is a row of the table.
  const int32_t* ids;
  const void* table;
  /// [tokens], or null together with `position_table`
  const int32_t* positions;
  const void* position_table;
  /// [tokens, width]
  void* output;
  /// Elements from one row of `table` to the next; 0 when rows are contiguous.
  int64_t table_stride = 0;
};

/// Also gathers rows of any matrix: `table` is the matrix, `ids` the rows.
Status embedding(Stream stream, const EmbeddingArguments& arguments);

/// `output[row][j] = input[row][order[j]]`.
struct GatherColumnsArguments {
  int rows;
  int width;
  /// [width]; the caller has checked that each is a column of the input.
  const int32_t* order;
  /// 16-bit elements, rows `input_stride` of them apart
  const void* input;
  int64_t input_stride;
  /// [rows, width]
  void* output;
};

Status gather_columns(Stream stream, const GatherColumnsArguments& arguments);

/// What the components of cached keys and values are.
enum class CacheCodes : int32_t {
  /// Elements of the activations' type.
  elements,
  /// Codes of 8 bits with a scale for each head's key, or value, at a position: its largest size / 127 or /
  /// 448,
  /// NaN where that is not finite.
  int8,
  float8,
};

/// Copies the key and value of each token into its slot of the paged cache, laid out
/// [block][key, value][head][16 tokens][head_dimension].
struct AppendArguments {
  ElementType type;
  int tokens;
  int heads;
  int head_dimension;
  /// [tokens, heads, head_dimension]
  const void* key;
  const void* value;
  /// [tokens]: 16 · block + place in the block; −1 skips the token
  const int32_t* slots;
  void* cache;
  /// Elements from one token to the next; 0 when tokens are contiguous.
  int64_t key_stride = 0;
  int64_t value_stride = 0;
  CacheCodes codes = CacheCodes::elements;
};

/// Into a cache of elements.
Status append_kv(Stream stream, const AppendArguments& arguments);

/// Into a cache of codes, [block][key, value][head] of codes [16 tokens][head_dimension] and then float
/// scales [16 tokens]. `invalid_arguments` for elements, and for heads that are no multiple of 4.
Status append_codes(Stream stream, const AppendArguments& arguments);

}  // namespace gpu

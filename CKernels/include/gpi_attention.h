// Arguments of attention over the paged cache.
#pragma once

#include "gpi_elements.h"

/// Softmax attention of each sequence's query rows over its keys in one layer's cache. Row r of a sequence of
/// n rows stands at position `context - n + r`.
typedef struct {
  gpi_kernel_element element;
  /// Of the cache.
  gpi_kernel_cache_codes codes;
  /// Whether a row sees no later position than its own.
  bool causal;
  int32_t sequences;
  /// Query rows of all sequences together.
  int32_t tokens;
  /// Multiple of `key_heads`.
  int32_t query_heads;
  int32_t key_heads;
  int32_t head_dimension;
  /// At least the most query rows, and the most keys, of a sequence; they size the grid.
  int32_t max_queries;
  int32_t max_context;
  /// [tokens, query_heads * head_dimension]
  const void* query;
  int64_t query_stride;
  /// [tokens, query_heads * head_dimension], contiguous
  void* output;
  const void* cache;
  /// [sequences, table_stride]: the cache block of each 16 positions
  const int32_t* block_tables;
  int32_t table_stride;
  /// [sequences + 1]
  const int32_t* query_starts;
  /// [sequences]
  const int32_t* context_lengths;
  float scale;
  /// `softcap * tanh(score / softcap)` before the mask; 0 for none
  float softcap;
  /// A row sees the last `window` positions up to its own; 0 for all.
  int32_t window;
  /// [query_heads], or null
  const float* alibi_slopes;
  /// [query_heads]: the score of one more key without a value, which every row of the head sees; or null
  const float* sink_logits;
  /// With a window: a row also sees the first `sinks` positions. Once there are positions between that it
  /// does not see, it meets these with its row of `sink_query`, as if it stood at `sinks + window - 1`. 0 for
  /// none.
  int32_t sinks;
  /// [tokens, query_heads * head_dimension]; null without sinks
  const void* sink_query;
  int64_t sink_query_stride;
  /// [query_heads, tokens]: ln of the sum of exp(score); or null
  float* log_sums;
  /// Decode only: keys of one part of a split context, a multiple of 64. The parts are the same whatever else
  /// is in the batch, so a sequence's bits are too.
  int32_t split_keys;
  /// Scratch memory of `workspace_bytes`, as `gpi_kernel_table.workspace` asks for.
  void* workspace;
  int64_t workspace_bytes;
} gpi_kernel_attention;

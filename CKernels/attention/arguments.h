// Arguments of attention over the paged cache, and the functions that launch it.
#pragma once

#include "elementwise/arguments.h"

namespace gpu {

/// Tokens in a block of the cache.
constexpr int kv_block_tokens = 16;

/// Softmax attention of each sequence's query rows over its keys.
///
/// The step's keys lie in the cache already. Query row `r` of a sequence stands at position
/// `context − queries + r`: the rows are the last positions of the sequence.
struct AttentionArguments {
  ElementType type;
  int sequences;
  /// Multiple of `key_heads`; query head h reads key head h / (query_heads / key_heads).
  int query_heads;
  int key_heads;
  /// Multiple of 8, at most 128.
  int head_dimension;
  int max_queries;
  int max_context;
  /// Query rows of all sequences together.
  int tokens;
  /// [tokens, query_heads, head_dimension]
  const void* query;
  void* output;
  /// [block][0 key, 1 value][key_heads][16 tokens][head_dimension]
  const void* cache;
  /// [sequences, table_stride]: the cache block of each 16 positions
  const int32_t* block_tables;
  int table_stride;
  /// [sequences + 1]: the rows of sequence s are query_starts[s] ..< query_starts[s + 1]
  const int32_t* query_starts;
  /// [sequences]: keys of each sequence
  const int32_t* context_lengths;
  /// Multiplies the dot products.
  float scale;
  /// `softcap · tanh(score / softcap)` before the mask; 0 for none.
  float softcap;
  /// A query sees the last `window` positions up to its own; 0 for all.
  int window;
  /// Whether a query sees no later position than its own.
  bool causal;
  /// [query_heads]: adds slope · (key position − query position); null for none.
  const float* alibi_slopes;
  /// [query_heads, tokens]: ln Σ exp(score), or null
  float* log_sums;
};

/// Any number of query rows a sequence, 0 included. `invalid_arguments` for head dimensions or counts other
/// than said.
Status attention_prefill(Stream stream, const AttentionArguments& arguments);

}  // namespace gpu

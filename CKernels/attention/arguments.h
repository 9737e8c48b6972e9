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
  /// At most 256; the tensor core forms take multiples of 8.
  int head_dimension;
  int max_queries;
  int max_context;
  /// Query rows of all sequences together.
  int tokens;
  /// [tokens, query_heads, head_dimension]
  const void* query;
  void* output;
  /// [block][0 key, 1 value][key_heads][16 tokens][head_dimension]; of codes, [block][key, value][key_heads]
  /// of codes [16 tokens][head_dimension] and then float scales [16 tokens]
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
  /// Elements from one query row to the next, for the tensor core forms a multiple of 8; 0 when rows are
  /// contiguous. The output's are.
  int64_t query_stride = 0;
  /// [query_heads]: the score of one more key without a value, which every row of the head sees (the learned
  /// sinks of gpt-oss); null for none. Counts in `log_sums`.
  const float* sink_logits = nullptr;
  /// With a window: a row also sees the first `sinks` positions (Xiao et al., arXiv 2309.17453). Once it has
  /// left others behind, it meets them with its row of `sink_query`, and its distance to them is counted as
  /// if it stood at `sinks + window − 1`. 0 for none.
  int sinks = 0;
  /// [tokens, query_heads, head_dimension]; null without sinks
  const void* sink_query = nullptr;
  /// As `query_stride`, of `sink_query`.
  int64_t sink_query_stride = 0;
  CacheCodes codes = CacheCodes::elements;
};

/// Elements from one query row to the next.
GPU_DEVICE_OR_HOST int64_t query_stride(const AttentionArguments& a) {
  return a.query_stride ? a.query_stride : int64_t(a.query_heads) * a.head_dimension;
}
GPU_DEVICE_OR_HOST int64_t sink_query_stride(const AttentionArguments& a) {
  return a.sink_query_stride ? a.sink_query_stride : int64_t(a.query_heads) * a.head_dimension;
}

constexpr int widest_head = 256;

/// Heads and sinks that belong together.
inline bool attention_means_something(const AttentionArguments& a) {
  return a.head_dimension > 0 && a.head_dimension <= widest_head && a.key_heads > 0 &&
         a.query_heads % a.key_heads == 0 &&
         (a.sinks == 0 || (a.sinks > 0 && a.window > 0 && a.sink_query != nullptr));
}

/// Whether `attention_plain_...` take it: everything but codes.
inline bool attention_plain_supports(const AttentionArguments& a) {
  return attention_means_something(a) && a.codes == CacheCodes::elements;
}

/// Whether the rows can be copied 16 bytes at a time.
inline bool attention_rows_supported(const AttentionArguments& a) {
  const int unit = a.codes == CacheCodes::elements ? 8 : 16;
  return attention_means_something(a) && a.head_dimension % unit == 0 && a.query_stride % 8 == 0 &&
         a.sink_query_stride % 8 == 0;
}

/// Rows that stand at the end of what they see.
inline bool attention_decode_supports(const AttentionArguments& a) {
  return attention_rows_supported(a) && (a.causal || a.max_queries <= 1);
}

inline bool attention_prefill_supports(const AttentionArguments& a) { return attention_rows_supported(a); }

/// Any number of query rows a sequence, 0 included. `invalid_arguments` for what `..._supports` does not
/// take; pointers must be aligned to 16 bytes.
Status attention_prefill(Stream stream, const AttentionArguments& arguments);

/// Whether `attention_prefill_sm90` takes it: what `attention_prefill` takes, but no sinks and no codes, with
/// query and cache aligned to 16 bytes.
bool attention_prefill_sm90_supports(const AttentionArguments& arguments);

/// The same with TMA and wgmma (sm_90a). The order of summation, and so the last bits, differ from
/// `attention_prefill`'s.
Status attention_prefill_sm90(Stream stream, const AttentionArguments& arguments);

/// Where the parts of a split context meet. A context is cut into parts of `split_keys` keys whatever else is
/// in the batch, so a sequence's result never depends on its neighbours.
struct DecodeWorkspace {
  /// Multiple of 64.
  int split_keys;
  /// [tokens, query_heads, splits, head_dimension]: the output of each part, with
  /// splits = ceil(max_context / split_keys). Not used when there is one split.
  float* outputs;
  /// [tokens, query_heads, splits]: ln Σ exp(score) of each part.
  float* log_sums;
};

/// Any number of query rows a sequence, meant for few: a row has the same bits whatever other rows there are.
/// `causal` only; same refusals as prefill, and a `split_keys` that is no multiple of 64.
Status attention_decode(Stream stream, const AttentionArguments& arguments, const DecodeWorkspace& workspace);

/// Both in plain loops, for any head dimension, stride and alignment: slow, and a row has the same bits from
/// either.
Status attention_plain_prefill(Stream stream, const AttentionArguments& arguments);
Status attention_plain_decode(Stream stream, const AttentionArguments& arguments);

}  // namespace gpu

// Arguments of the operations of `gpi_kernel_table`, one plain C struct each.
//
// Pointers are device memory unless said otherwise. Matrices are row-major; a row of `width` elements is
// contiguous, and where rows need not follow each other a stride says how many elements lie from one to the
// next. All sizes are legal, zero rows too. Nothing here is checked against the memory behind the pointers:
// the caller has done that.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Types of elements. Activations, weights and caches are 16-bit; float32 is for logits, biases and tables.
typedef enum {
  GPI_KERNEL_BFLOAT16 = 0,
  GPI_KERNEL_FLOAT16 = 1,
  GPI_KERNEL_FLOAT32 = 2,
} gpi_kernel_element;

/// What can be launched, and the struct that each takes.
typedef enum {
  /// gpi_kernel_norm
  GPI_KERNEL_RMS_NORM,
  /// gpi_kernel_norm
  GPI_KERNEL_LAYER_NORM,
  /// gpi_kernel_rope
  GPI_KERNEL_ROPE,
  /// gpi_kernel_append
  GPI_KERNEL_APPEND,
  /// gpi_kernel_activation
  GPI_KERNEL_ACTIVATION,
  /// gpi_kernel_add
  GPI_KERNEL_ADD,
  /// gpi_kernel_embedding
  GPI_KERNEL_EMBEDDING,
  /// gpi_kernel_linear
  GPI_KERNEL_LINEAR,
  /// gpi_kernel_attention: any number of query rows a sequence
  GPI_KERNEL_PREFILL,
  /// gpi_kernel_attention: few query rows a sequence
  GPI_KERNEL_DECODE,
  /// gpi_kernel_quantized_linear
  GPI_KERNEL_QUANTIZED_LINEAR,
  /// gpi_kernel_repack
  GPI_KERNEL_REPACK,
  /// gpi_kernel_gather_columns
  GPI_KERNEL_GATHER_COLUMNS,
  /// gpi_kernel_process_logits
  GPI_KERNEL_PROCESS_LOGITS,
  /// gpi_kernel_sample
  GPI_KERNEL_SAMPLE,
  /// gpi_kernel_logprobs
  GPI_KERNEL_LOGPROBS,
  /// gpi_kernel_feed
  GPI_KERNEL_FEED,
  /// gpi_kernel_lora
  GPI_KERNEL_LOW_RANK,
} gpi_kernel_op;

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

/// What the components of cached keys and values are.
typedef enum {
  /// Elements of the activations' type.
  GPI_KERNEL_CACHE_ELEMENTS = 0,
  /// Codes of 8 bits, int8 or E4M3, with a scale for each head's key, or value, at a position: its largest
  /// size
  /// / 127, or / 448.
  GPI_KERNEL_CACHE_INT8 = 1,
  GPI_KERNEL_CACHE_FLOAT8 = 2,
} gpi_kernel_cache_codes;

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
} gpi_kernel_code;

/// What happens to activations before they are multiplied.
typedef enum {
  GPI_KERNEL_KEEP_ACTIVATIONS = 0,
  /// Each row is rounded to int8. INT8 codes without zeros only.
  GPI_KERNEL_ROUND_TO_INT8 = 1,
} gpi_kernel_rounding;

/// The form of a quantised weight.
typedef struct {
  gpi_kernel_code code;
  int32_t outputs;
  int32_t inputs;
  /// Inputs that share a scale: a multiple of 16, or `inputs`.
  int32_t group;
  gpi_kernel_element scale_element;
  /// Each group has a zero of its own; else every zero is the middle of the codes. Not of FLOAT8.
  bool has_zeros;
  gpi_kernel_rounding rounding;
  /// When rounding: components from this size on are multiplied unrounded; infinity for none.
  float outlier_threshold;
  /// When rounding: the scale of every row; 0 for each row's largest size / 127.
  float activation_scale;
} gpi_kernel_weight_format;

/// Brings a quantised weight into the layout that its products read, once when a model is loaded.
typedef struct {
  /// That of the scales, as `format` says.
  gpi_kernel_element element;
  gpi_kernel_weight_format format;
  /// [outputs] rows, each a stream of codes with the first in the lowest bits of words of 4 bytes
  const void* codes;
  /// Bytes from one row to the next; a multiple of 4 but for codes of 8 bits.
  int64_t code_stride;
  /// [outputs, ceil(inputs / group)]
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
  /// [outputs], or null
  const float* bias;
  /// [rows, outputs]
  void* output;
  int64_t output_stride;
  /// Scratch memory of `workspace_bytes`, as `gpi_kernel_table.workspace` asks for.
  void* workspace;
  int64_t workspace_bytes;
} gpi_kernel_quantized_linear;

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

/// Added to the logit of a token: a bias, or −∞ to exclude it. A row names a token once.
typedef struct {
  int32_t token;
  float addend;
} gpi_kernel_logit_edit;

/// A token of the prompt or the output. A row names a token once.
typedef struct {
  int32_t token;
  /// How often it is in the output.
  int32_t in_output;
} gpi_kernel_seen_token;

/// What changes the logits of a row, in this order: mask, edits, then for each token seen the repetition,
/// frequency and presence penalty.
typedef struct {
  /// Row of `masks`; −1 allows every token.
  int32_t mask;
  int32_t first_edit;
  int32_t edits;
  int32_t first_seen;
  int32_t seen;
  /// A positive logit is divided by it, another one multiplied; 1 for none.
  float repetition;
  float frequency;
  float presence;
  /// Of the input.
  int32_t row;
  /// Place in `tokens` of one more token of the output, which may be among those seen; −1 for none.
  int32_t fresh;
} gpi_kernel_logits_row;

/// Copies rows of logits, changed as their settings say.
typedef struct {
  /// float32
  gpi_kernel_element element;
  int32_t rows;
  /// 1 … 2^20 - 1
  int32_t vocabulary;
  /// [any, vocabulary]
  const float* input;
  int64_t input_stride;
  /// [rows, vocabulary]
  float* output;
  int64_t output_stride;
  /// [rows]
  const gpi_kernel_logits_row* settings;
  /// [any, ceil(vocabulary / 32)]: bit `i % 32` of word `i / 32` allows token i
  const uint32_t* masks;
  const gpi_kernel_logit_edit* edits;
  const gpi_kernel_seen_token* seen;
  /// [any]: where the tokens lie that were sampled after the list of those seen was written; or null
  const int32_t* tokens;
  /// [rows]: the first token whose logit was NaN or +∞ before any change, or −1
  int32_t* broken;
} gpi_kernel_process_logits;

/// How a row's token is drawn; Sources/Generation/Sampling/Sampler.swift defines the scheme.
typedef struct {
  uint64_t seed;
  uint32_t choice;
  /// Of the new token, in prompt and output together.
  uint32_t position;
  /// Below 1e-5 the largest logit is taken.
  float temperature;
  /// 1 and more for none.
  float top_p;
  /// 0 for none.
  float min_p;
  /// 0 for none.
  int32_t top_k;
  /// Of the logits.
  int32_t row;
  /// Its place in `tokens` and `failures`.
  int32_t target;
} gpi_kernel_sampling_row;

/// Why a row has no token.
typedef enum {
  GPI_KERNEL_SAMPLED = 0,
  /// A logit is NaN or +∞; `tokens` names the first.
  GPI_KERNEL_NOT_FINITE = 1,
  /// Every logit is −∞.
  GPI_KERNEL_NOTHING_ALLOWED = 2,
} gpi_kernel_sampling_failure;

/// Draws a token from each row.
typedef struct {
  /// float32
  gpi_kernel_element element;
  int32_t rows;
  /// 1 … 2^20 - 1
  int32_t vocabulary;
  /// [any, vocabulary]
  const float* logits;
  int64_t stride;
  /// [rows]
  const gpi_kernel_sampling_row* settings;
  /// What process_logits gave, by row of the logits; or null
  const int32_t* broken;
  /// By target; in the vocabulary whatever fails.
  int32_t* tokens;
  /// By target: gpi_kernel_sampling_failure
  int32_t* failures;
} gpi_kernel_sample;

/// Log-probabilities of given tokens and of the most likely ones.
typedef struct {
  /// float32
  gpi_kernel_element element;
  int32_t rows;
  /// 1 … 2^20 - 1
  int32_t vocabulary;
  /// Most likely tokens to report, at most 1024 and `vocabulary`.
  int32_t top;
  /// [any, vocabulary], as the model gave them
  const float* logits;
  int64_t stride;
  /// [rows]: rows of the logits, or null for 0, 1, 2 …
  const int32_t* sources;
  /// By row of the logits: the tokens that stand there; −1 skips the row.
  const int32_t* tokens;
  /// [rows]
  float* logprobs;
  /// [rows]: tokens with a larger logit, or an equal one and a lower id, and 1
  int32_t* ranks;
  /// [rows, top], largest first, ties by lower id
  int32_t* top_tokens;
  float* top_logprobs;
  /// [rows]: gpi_kernel_sampling_failure
  int32_t* failures;
} gpi_kernel_logprobs;

/// `tokens[i] = sampled[sources[i]]`; a source of −1 leaves the token.
typedef struct {
  /// float32, of the logits that were sampled
  gpi_kernel_element element;
  int32_t count;
  /// [count]
  const int32_t* sources;
  const int32_t* sampled;
  /// [count]
  int32_t* tokens;
} gpi_kernel_feed;

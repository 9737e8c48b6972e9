// Arguments of the operations between logits and tokens.
//
// The scheme is that of Sources/Generation/Sampling/Sampler.swift, to the bit: equal logits, settings, seed
// and position give the same token here and there, whatever else is in the batch.
#pragma once

#include "gpi_elements.h"

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
  /// [any, ceil(vocabulary / 32)]: bit `i % 32` of word `i / 32` allows token i. Rows, which begin at
  /// multiples of 16 bytes, are read once, so that they may lie in memory from `allocate_host`; null without
  /// masks.
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

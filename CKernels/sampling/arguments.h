// Arguments of the operations between logits and tokens, and the functions that launch them.
//
// The scheme is that of Sources/Generation/Sampling/Sampler.swift, to the bit: equal logits, settings, seed
// and position give the same token here and there, whatever else is in the batch.
#pragma once

#include <cstdint>

#include "device/launch.h"

namespace gpu {

/// Added to the logit of a token: a bias, or −∞ for a mask. A row names a token once.
struct LogitEdit {
  int32_t token;
  float addend;
};

/// A token of the prompt or the output. A row names a token once.
struct SeenToken {
  int32_t token;
  /// How often it is in the output.
  int32_t in_output;
};

/// What changes the logits of a row, in this order: mask, edits, then for each token seen the repetition,
/// frequency and presence penalty.
struct LogitsRow {
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
};

struct LogitsArguments {
  int rows;
  int vocabulary;
  /// [any, vocabulary], rows `input_stride` elements apart
  const float* input;
  int64_t input_stride;
  /// [rows, vocabulary]; may be the input where each row is the input's of its own number
  float* output;
  int64_t output_stride;
  /// [rows]
  const LogitsRow* settings;
  /// [..., ceil(vocabulary / 32)]: bit `i % 32` of word `i / 32` allows token i
  const uint32_t* masks;
  const LogitEdit* edits;
  const SeenToken* seen;
  /// [any]: where the tokens lie that were sampled after the list of those seen was written; or null
  const int32_t* tokens;
  /// [rows]: the first token whose logit was NaN or +∞ before any change, or −1
  int32_t* broken;
};

/// This and the others below: `invalid_arguments` for negative counts, a stride shorter than a row, or a
/// vocabulary that is empty or of a million tokens and more.
Status process_logits(Stream stream, const LogitsArguments& arguments);

/// How a row's token is drawn.
struct SamplingRow {
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
};

enum class SamplingFailure : int32_t {
  none = 0,
  /// A logit is NaN or +∞; `tokens` names the first.
  not_finite = 1,
  /// Every logit is −∞.
  nothing_allowed = 2,
};

struct SamplingArguments {
  int rows;
  int vocabulary;
  /// [any, vocabulary] as the model or `process_logits` gave them, rows `stride` elements apart
  const float* logits;
  int64_t stride;
  /// [rows]
  const SamplingRow* settings;
  /// Of `process_logits`, by row of the logits; or null when nothing was processed
  const int32_t* broken;
  /// [any], by target
  int32_t* tokens;
  /// [any], by target
  SamplingFailure* failures;
};

Status sample(Stream stream, const SamplingArguments& arguments);

/// The most alternatives that `token_logprobs` reports.
constexpr int most_logprobs = 1024;

struct LogprobArguments {
  int rows;
  int vocabulary;
  /// [any, vocabulary] before any change, rows `stride` elements apart
  const float* logits;
  int64_t stride;
  /// [rows]: rows of the logits; null for 0, 1, 2 …
  const int32_t* sources;
  /// By row of the logits: the tokens that stand there; −1 skips the row.
  const int32_t* tokens;
  /// [rows]
  float* logprobs;
  /// [rows]: tokens with a larger logit, or an equal one and a lower id, and 1
  int32_t* ranks;
  /// Most likely tokens to report; at most `most_logprobs` and `vocabulary`.
  int top;
  /// [rows, top], largest first, ties by lower id
  int32_t* top_tokens;
  float* top_logprobs;
  /// [rows]
  SamplingFailure* failures;
};

/// `invalid_arguments` when `top` is more than said.
Status token_logprobs(Stream stream, const LogprobArguments& arguments);

/// Puts sampled tokens where the next step reads its own, so that it can be enqueued before the host knows
/// them.
struct FeedArguments {
  int count;
  /// [count]: targets of `sample`; −1 leaves the token as it is.
  const int32_t* sources;
  const int32_t* sampled;
  /// [count]
  int32_t* tokens;
};

/// `invalid_arguments` for a negative count.
Status feed_tokens(Stream stream, const FeedArguments& arguments);

}  // namespace gpu

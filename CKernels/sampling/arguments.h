// The functions that launch the operations between logits and tokens. Their arguments are the interface's
// own, which the caller has put on the device in arrays too: include/gpi_sampling.h.
#pragma once

#include "device/launch.h"
#include "include/gpi_sampling.h"

namespace gpu {

using LogitEdit = gpi_kernel_logit_edit;
using SeenToken = gpi_kernel_seen_token;
using LogitsRow = gpi_kernel_logits_row;
using LogitsArguments = gpi_kernel_process_logits;
using SamplingRow = gpi_kernel_sampling_row;
using SamplingFailure = gpi_kernel_sampling_failure;
using SamplingArguments = gpi_kernel_sample;
using LogprobArguments = gpi_kernel_logprobs;
using FeedArguments = gpi_kernel_feed;

/// The most alternatives that `token_logprobs` reports.
constexpr int most_logprobs = 1024;

/// Words from one row of masks to the next.
GPU_DEVICE_OR_HOST int mask_stride(int vocabulary) { return (vocabulary + 127) / 128 * 4; }

/// All but the last: `invalid_arguments` for negative counts, a stride shorter than a row, or a vocabulary
/// that is empty or of a million tokens and more. The output may be the input where each row is the input's
/// of its own number.
Status process_logits(Stream stream, const LogitsArguments& arguments);

Status sample(Stream stream, const SamplingArguments& arguments);

/// `invalid_arguments` too when `top` is more than the vocabulary, or than `most_logprobs`.
Status token_logprobs(Stream stream, const LogprobArguments& arguments);

/// Puts sampled tokens where the next step reads its own, so that it can be enqueued before the host knows
/// them. `invalid_arguments` for a negative count.
Status feed_tokens(Stream stream, const FeedArguments& arguments);

}  // namespace gpu

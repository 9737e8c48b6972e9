// Masks, biases and penalties, in the order of Sources/Generation/Sampling/Sampler+Constraints.swift: one
// block a row.

#include "sampling/arguments.h"
#include "sampling/row.h"

namespace gpu {
namespace {

/// A token that is in the prompt, and `in_output` times in the output.
GPU_DEVICE void penalise(float* logits, int token, int in_output, const LogitsRow& settings) {
  float logit = logits[token];
  logit = logit > 0 ? divide_rn(logit, settings.repetition) : multiply_rn(logit, settings.repetition);
  if (in_output > 0) {
    logit = subtract_rn(logit, multiply_rn(settings.frequency, float(in_output)));
    logit = subtract_rn(logit, settings.presence);
  }
  logits[token] = logit;
}

/// No token is edited twice or seen twice in a row, so neither loop needs an order of its own.
GPU_KERNEL(row_threads, 2)
process_kernel(LogitsArguments p) {
  GPU_SHARED(shared);
  uint64_t* scratch = reinterpret_cast<uint64_t*>(shared);
  const int index = block_x();
  const LogitsRow settings = p.settings[index];
  const LogitRow input = {p.input + settings.row * p.input_stride, p.vocabulary};
  float* output = p.output + index * p.output_stride;
  const uint32_t* mask =
      settings.mask >= 0 ? p.masks + int64_t(settings.mask) * ((p.vocabulary + 31) / 32) : nullptr;

  const int broken = summarise(input, scratch).broken;
  if (thread_index() == 0) p.broken[index] = broken;
  // All have read the input, which the output may be.
  sync_block();
  for (int first = thread_index() * group_tokens; first < p.vocabulary; first += row_threads * group_tokens) {
    LogitGroup group = input.group(first);
    const uint32_t allowed = mask ? mask[first / 32] >> (first % 32) : full_mask;
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      if (!(allowed >> i & 1)) group.logit[i] = negative_infinity();
    }
    if (first + group_tokens <= p.vocabulary && reinterpret_cast<uintptr_t>(output) % 16 == 0) {
      Packed packed;
      GPU_UNROLL
      for (int i = 0; i < group_tokens; ++i) packed.word[i] = bits_of(group.logit[i]);
      *reinterpret_cast<Packed*>(output + first) = packed;
    } else {
      GPU_UNROLL
      for (int i = 0; i < group_tokens; ++i) {
        if (first + i < p.vocabulary) output[first + i] = group.logit[i];
      }
    }
  }
  sync_block();
  for (int i = thread_index(); i < settings.edits; i += row_threads) {
    const LogitEdit edit = p.edits[settings.first_edit + i];
    if (edit.token < p.vocabulary) output[edit.token] = add_rn(output[edit.token], edit.addend);
  }
  sync_block();
  const int fresh = settings.fresh >= 0 ? p.tokens[settings.fresh] : -1;
  bool is_listed = false;
  for (int i = thread_index(); i < settings.seen; i += row_threads) {
    const SeenToken seen = p.seen[settings.first_seen + i];
    if (seen.token >= p.vocabulary) continue;
    const bool again = seen.token == fresh;
    is_listed |= again;
    penalise(output, seen.token, seen.in_output + again, settings);
  }
  if (fresh < 0) return;
  const bool is_new = block_max(is_listed, scratch) == 0;
  if (is_new && thread_index() == 0) penalise(output, fresh, 1, settings);
}

}  // namespace

Status process_logits(Stream stream, const LogitsArguments& arguments) {
  if (arguments.rows < 0 || !is_vocabulary(arguments.vocabulary) ||
      arguments.input_stride < arguments.vocabulary || arguments.output_stride < arguments.vocabulary) {
    return invalid_arguments;
  }
  if (arguments.rows == 0) return 0;
  LaunchShape shape;
  shape.grid.x = arguments.rows;
  shape.threads = row_threads;
  shape.shared_bytes = 2 * row_warps * int(sizeof(uint64_t));
  return launch(stream, "process_logits", shape, process_kernel, arguments);
}

}  // namespace gpu

// Masks, biases and penalties, in the order of Sources/Generation/Sampling/Sampler+Constraints.swift: one
// block a row.

#include "sampling/arguments.h"
#include "sampling/row.h"

namespace gpu {
namespace {

/// What `summarise` takes; the tile of the mask follows.
constexpr int scratch_bytes = 2 * row_warps * int(sizeof(uint64_t));

GPU_DEVICE void store_group(float* output, int count, int first, const LogitGroup& group) {
  if (first + group_tokens <= count && reinterpret_cast<uintptr_t>(output) % 16 == 0) {
    Packed packed;
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) packed.word[i] = bits_of(group.logit[i]);
    *reinterpret_cast<Packed*>(output + first) = packed;
  } else {
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      if (first + i < count) output[first + i] = group.logit[i];
    }
  }
}

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

/// Words of a mask that lie in shared memory at one time: those of 262,144 tokens, all that most vocabularies
/// have.
constexpr int mask_tile_words = 8192;
constexpr int mask_tile_tokens = 32 * mask_tile_words;

/// Asks for the words of a mask from that of token `start` on, as many as a tile holds.
GPU_DEVICE void fetch_mask(SharedAddress tile, const uint32_t* mask, int vocabulary, int start) {
  const int words = (vocabulary + 31) / 32 - start / 32;
  const int count = words < mask_tile_words ? words : mask_tile_words;
  for (int word = 4 * thread_index(); word < count; word += 4 * row_threads) {
    const int left = 4 * (count - word);
    copy_async(tile + uint32_t(4 * word), mask + start / 32 + word, left < 16 ? left : 16);
  }
  commit_copies();
}

/// No token is edited twice or seen twice in a row, so neither loop needs an order of its own.
GPU_KERNEL(row_threads, 2)
process_kernel(LogitsArguments p) {
  GPU_SHARED(shared);
  uint64_t* scratch = reinterpret_cast<uint64_t*>(shared);
  const uint32_t* tile = reinterpret_cast<const uint32_t*>(shared + scratch_bytes);
  const int index = block_x();
  const LogitsRow settings = p.settings[index];
  const LogitRow input = {p.input + settings.row * p.input_stride, p.vocabulary};
  float* output = p.output + index * p.output_stride;
  const uint32_t* mask =
      settings.mask >= 0 ? p.masks + int64_t(settings.mask) * mask_stride(p.vocabulary) : nullptr;

  // It comes from the host's memory, while the row is read.
  if (mask) fetch_mask(shared_address(tile), mask, p.vocabulary, 0);
  const int broken = summarise(input, scratch).broken;
  if (thread_index() == 0) p.broken[index] = broken;
  for (int start = 0; start < p.vocabulary; start += mask_tile_tokens) {
    if (mask && start > 0) {
      sync_block();
      fetch_mask(shared_address(tile), mask, p.vocabulary, start);
    }
    wait_copies<0>();
    // The tile is there; and all have read the input, which the output may be.
    sync_block();
    const int end = start + mask_tile_tokens < p.vocabulary ? start + mask_tile_tokens : p.vocabulary;
    for (int first = start + thread_index() * group_tokens; first < end;
         first += row_threads * group_tokens) {
      LogitGroup group = input.group(first);
      const uint32_t allowed = mask ? tile[(first - start) / 32] >> (first % 32) : full_mask;
      GPU_UNROLL
      for (int i = 0; i < group_tokens; ++i) {
        if (!(allowed >> i & 1)) group.logit[i] = negative_infinity();
      }
      store_group(output, p.vocabulary, first, group);
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
  const int tile_words = arguments.masks ? mask_stride(arguments.vocabulary) : 0;
  shape.shared_bytes = scratch_bytes + 4 * (tile_words < mask_tile_words ? tile_words : mask_tile_words);
  return launch(stream, "process_logits", shape, process_kernel, arguments);
}

}  // namespace gpu

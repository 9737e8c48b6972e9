// Log-probabilities of given tokens and of the most likely ones, from raw logits: one block a row.

#include "sampling/arguments.h"
#include "sampling/selection.h"

namespace gpu {
namespace {

/// e^x in units of 2⁻⁴⁴, for a sum over at most 2^20 tokens in which the order does not count.
GPU_DEVICE uint64_t fine_weight(float x) { return uint64_t(multiply_rn(portable_exp(x), 0x1p44f)); }

GPU_KERNEL(row_threads, 2)
logprob_kernel(LogprobArguments p) {
  GPU_SHARED(shared);
  SelectionMemory& memory = *reinterpret_cast<SelectionMemory*>(shared);
  const int index = block_x();
  const int source = p.sources ? p.sources[index] : index;
  const int token = p.tokens[source];
  if (token < 0) return;
  const LogitRow row = {p.logits + source * p.stride, p.vocabulary};
  const RowSummary summary = summarise(row, memory.scratch);
  const float largest = candidate_logit(summary.largest);
  SamplingFailure failure = GPI_KERNEL_SAMPLED;
  if (summary.broken >= 0) failure = GPI_KERNEL_NOT_FINITE;
  if (failure == GPI_KERNEL_SAMPLED && largest == negative_infinity()) {
    failure = GPI_KERNEL_NOTHING_ALLOWED;
  }
  if (thread_index() == 0) p.failures[index] = failure;
  if (failure != GPI_KERNEL_SAMPLED) return;

  uint64_t sum = 0, ahead = 0;
  const uint64_t own = candidate_key(row.data[token], token);
  for (int first = thread_index() * group_tokens; first < row.count; first += row_threads * group_tokens) {
    const LogitGroup group = row.group(first);
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      if (first + i >= row.count) break;
      sum += fine_weight(subtract_rn(group.logit[i], largest));
      ahead += candidate_key(group.logit[i], first + i) > own;
    }
  }
  sum = block_sum(sum, memory.scratch + 2 * row_warps);
  ahead = block_sum(ahead, memory.scratch + 3 * row_warps);
  const double normaliser = double(largest) + log(double(sum) * 0x1p-44);
  if (thread_index() == 0) {
    p.logprobs[index] = float(double(row.data[token]) - normaliser);
    p.ranks[index] = int(ahead) + 1;
  }
  if (p.top == 0) return;

  // Keys of the first `top`, in any order; each thread then counts how many are before its own.
  Candidates all = {row, 1.0f, largest, negative_infinity(), 0, false, true};
  const uint64_t limit = uint64_t(p.top);
  const uint64_t least = key_at_limit(all, memory, [=](uint64_t) { return limit; });
  sync_block();
  if (thread_index() == 0) memory.list_size = 0;
  sync_block();
  for (int first = thread_index() * group_tokens; first < row.count; first += row_threads * group_tokens) {
    const LogitGroup group = row.group(first);
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      if (first + i >= row.count) break;
      const uint64_t key = candidate_key(group.logit[i], first + i);
      if (key >= least) memory.list[add_atomically(&memory.list_size, 1u)] = key;
    }
  }
  sync_block();
  for (int i = thread_index(); i < p.top; i += row_threads) {
    const uint64_t key = memory.list[i];
    int place = 0;
    for (int other = 0; other < p.top; ++other) place += memory.list[other] > key;
    const int64_t target = int64_t(index) * p.top + place;
    p.top_tokens[target] = candidate_token(key);
    p.top_logprobs[target] = float(double(candidate_logit(key)) - normaliser);
  }
}

}  // namespace

Status token_logprobs(Stream stream, const LogprobArguments& arguments) {
  if (arguments.rows < 0 || !is_vocabulary(arguments.vocabulary) || arguments.stride < arguments.vocabulary ||
      arguments.top < 0 || arguments.top > most_logprobs || arguments.top > arguments.vocabulary) {
    return invalid_arguments;
  }
  if (arguments.rows == 0) return 0;
  LaunchShape shape;
  shape.grid.x = arguments.rows;
  shape.threads = row_threads;
  shape.shared_bytes = int(sizeof(SelectionMemory));
  return launch(stream, "logprobs", shape, logprob_kernel, arguments);
}

}  // namespace gpu

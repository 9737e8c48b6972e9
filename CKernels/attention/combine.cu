// Puts the parts of a split context together.
//
// Each part gave its softmax average O and L = ln Σ exp(score) over its keys; the whole is Σ exp(L − max L) O
// divided by Σ exp(L − max L). Parts are summed in order, so equal inputs give equal bits.

#include "attention/decode_launch.h"

namespace gpu {
namespace {

constexpr int most_threads = 256;

/// One block a query head, sequence and row; a thread sums one component.
template <class T>
GPU_KERNEL(most_threads, 4)
combine_kernel(DecodeArguments d) {
  const AttentionArguments& p = d.attention;
  const int head = block_x(), sequence = block_y(), row = block_z();
  const int start = p.query_starts[sequence], token = start + row;
  const int queries = p.query_starts[sequence + 1] - start;
  if (row >= queries) return;
  const int context = p.context_lengths[sequence] - queries + 1 + row;
  // One part has written the output itself.
  if (context <= d.workspace.split_keys) return;
  const int splits = (context + d.workspace.split_keys - 1) / d.workspace.split_keys;
  const int64_t slot = (int64_t(token) * p.query_heads + head) * d.splits;
  const float* log_sums = d.workspace.log_sums + slot;
  const float* outputs = d.workspace.outputs + slot * p.head_dimension;

  float largest = negative_infinity();
  for (int split = 0; split < splits; ++split) largest = maximum(largest, log_sums[split]);
  const int column = thread_index();
  float sum = 0, output = 0;
  for (int split = 0; split < splits; ++split) {
    // A part outside of the window has no weight.
    if (log_sums[split] == negative_infinity()) continue;
    const float weight = exp_approximate(log_sums[split] - largest);
    sum += weight;
    if (column < p.head_dimension) output += weight * outputs[int64_t(split) * p.head_dimension + column];
  }
  const RowResult result =
      RowResult::of(largest, sum, log2_e, p.sink_logits ? p.sink_logits + head : nullptr);
  if (column < p.head_dimension) {
    T* target = static_cast<T*>(p.output) + (int64_t(token) * p.query_heads + head) * p.head_dimension;
    target[column] = from_float<T>(output * result.factor);
  }
  if (p.log_sums && column == 0) p.log_sums[int64_t(head) * p.tokens + token] = result.log_sum;
}

}  // namespace

Status combine_splits(Stream stream, const DecodeArguments& d) {
  LaunchShape shape;
  shape.grid = {d.attention.query_heads, d.attention.sequences, d.attention.max_queries};
  shape.threads = (d.attention.head_dimension + warp_size - 1) / warp_size * warp_size;
  if (d.attention.type == ElementType::bfloat16) {
    return launch(stream, "combine<bf16>", shape, combine_kernel<bf16>, d);
  }
  return launch(stream, "combine<f16>", shape, combine_kernel<f16>, d);
}

}  // namespace gpu

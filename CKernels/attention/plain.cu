// Attention in plain loops, for what the tensor core forms do not take: heads that are no multiple of 8
// components, and rows that start anywhere.
//
// A warp computes one query row of one head, and walks the keys that it sees 32 at a time with the running
// softmax of FlashAttention:
//
//   scores    a lane a key          s = Σ_d q[d] · K[key][d]
//   weights   through shared memory, in float32
//   output    a lane a component    o[c] += w[key] · V[key][c],  c = lane, lane + 32, ...
//
// Where a row's keys are cut depends on its position only, so its bits are the same in any batch, and in a
// prefill and a decode.

#include "attention/arguments.h"
#include "attention/cache.h"
#include "attention/softmax.h"

namespace gpu {
namespace {

constexpr int most_warps = 4;

/// ```
/// shared, of each warp   | weights [32] | query [head_dimension] |   float
/// ```
GPU_DEVICE_OR_HOST int floats_a_warp(const AttentionArguments& p) { return warp_size + p.head_dimension; }

/// One row of one head.
template <class T>
class PlainRow {
 public:
  static constexpr int columns = widest_head / warp_size;

  GPU_DEVICE PlainRow(const AttentionArguments& p, int sequence, int head, int context, float* memory)
      : rules_(ScoreRules::of(p, context)),
        cache_(p, sequence, head / (p.query_heads / p.key_heads)),
        slope_(p.alibi_slopes ? p.alibi_slopes[head] : 0.0f),
        width_(p.head_dimension),
        weights_(memory),
        query_(memory + warp_size) {}

  /// Takes the query that the keys `first ... last` are met with, and adds these keys, from `position`.
  GPU_DEVICE void attend(const T* query, int position, int first, int last) {
    const int lane = lane_index();
    // The barriers between scores and values order this after the last reads.
    for (int i = lane; i < width_; i += warp_size) query_[i] = to_float(query[i]);
    sync_warp();
    for (int base = first; base <= last; base += warp_size) {
      const int count = last - base + 1 < warp_size ? last - base + 1 : warp_size;
      weigh(lane < count ? score(position, base + lane) : negative_infinity());
      for (int j = 0; j < count; ++j) {
        const T* value = cache_.row(base + j, first, last + 1, CachePart::values);
        const float weight = weights_[j];
        GPU_UNROLL
        for (int i = 0; i < columns; ++i) {
          const int column = lane + i * warp_size;
          if (column < width_) output_[i] += weight * to_float(value[column]);
        }
      }
    }
  }

  GPU_DEVICE RowResult result(const float* sink_logit) const {
    return RowResult::of(largest_, warp_sum(sum_), log2_e, sink_logit);
  }

  GPU_DEVICE void write(T* target, float factor) const {
    GPU_UNROLL
    for (int i = 0; i < columns; ++i) {
      const int column = lane_index() + i * warp_size;
      if (column < width_) target[column] = from_float<T>(output_[i] * factor);
    }
  }

 private:
  GPU_DEVICE float score(int position, int key) const {
    const T* components = cache_.row(key, key, key + 1, CachePart::keys);
    float dot = 0;
    for (int i = 0; i < width_; ++i) dot += query_[i] * to_float(components[i]);
    return rules_.apply(dot, slope_, position, key);
  }

  /// Puts the weights of one score a lane where all lanes find them. At least one score is finite.
  GPU_DEVICE void weigh(float score) {
    const float largest = maximum(largest_, warp_max(score));
    const float rescale = exp2_approximate((largest_ - largest) * log2_e);
    const float weight = exp2_approximate((score - largest) * log2_e);
    largest_ = largest;
    sum_ = sum_ * rescale + weight;
    GPU_UNROLL
    for (int i = 0; i < columns; ++i) output_[i] *= rescale;
    // All have read the last weights; then all have written theirs.
    sync_warp();
    weights_[lane_index()] = weight;
    sync_warp();
  }

  ScoreRules rules_;
  CacheHead<T> cache_;
  float slope_;
  int width_;
  float* weights_;
  float* query_;
  float largest_ = negative_infinity();
  /// Of the lane's own keys.
  float sum_ = 0;
  float output_[columns] = {};
};

template <class T>
GPU_KERNEL(most_warps* warp_size, 4)
plain_attention_kernel(AttentionArguments p) {
  GPU_SHARED(shared);
  const int head = block_y(), sequence = block_z();
  const int start = p.query_starts[sequence];
  const int queries = p.query_starts[sequence + 1] - start;
  const int row = block_x() * (thread_count() / warp_size) + warp_index();
  if (row >= queries) return;
  const int context = p.context_lengths[sequence], position = context - queries + row;

  float* memory = reinterpret_cast<float*>(shared) + warp_index() * floats_a_warp(p);
  PlainRow<T> attention(p, sequence, head, context, memory);
  const int64_t token = start + row, head_start = int64_t(head) * p.head_dimension;
  auto visible = ScoreRules::of(p, context).visible_keys(position);
  if (p.sinks > 0 && visible.first > p.sinks) {
    const T* sink_query = static_cast<const T*>(p.sink_query) + token * sink_query_stride(p) + head_start;
    attention.attend(sink_query, p.sinks + p.window - 1, 0, p.sinks - 1);
  } else if (visible.first < 0 || p.sinks > 0) {
    visible.first = 0;
  }
  const T* query = static_cast<const T*>(p.query) + token * query_stride(p) + head_start;
  attention.attend(query, position, visible.first, visible.last);

  const RowResult result = attention.result(p.sink_logits ? p.sink_logits + head : nullptr);
  const int64_t output_row = token * p.query_heads * p.head_dimension + head_start;
  attention.write(static_cast<T*>(p.output) + output_row, result.factor);
  if (p.log_sums && lane_index() == 0) p.log_sums[int64_t(head) * p.tokens + token] = result.log_sum;
}

Status launch_plain(Stream stream, const AttentionArguments& a) {
  if (!attention_plain_supports(a)) return invalid_arguments;
  const int rows = a.max_queries;
  if (a.tokens == 0 || a.sequences == 0 || rows == 0) return 0;
  const int warps = rows < most_warps ? rows : most_warps;
  LaunchShape shape;
  shape.grid = {(rows + warps - 1) / warps, a.query_heads, a.sequences};
  shape.threads = warps * warp_size;
  shape.shared_bytes = warps * floats_a_warp(a) * int(sizeof(float));
  if (a.type == ElementType::bfloat16) {
    return launch(stream, "plain_attention<bf16>", shape, plain_attention_kernel<bf16>, a);
  }
  return launch(stream, "plain_attention<f16>", shape, plain_attention_kernel<f16>, a);
}

}  // namespace

Status attention_plain_prefill(Stream stream, const AttentionArguments& a) { return launch_plain(stream, a); }

Status attention_plain_decode(Stream stream, const AttentionArguments& a) { return launch_plain(stream, a); }

}  // namespace gpu

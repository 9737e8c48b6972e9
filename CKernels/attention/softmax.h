// The running softmax of FlashAttention-2 (Dao 2023, arXiv 2307.08691, algorithm 1), in the registers of mma
// fragments.
//
// A lane holds two rows of its warp's sixteen, g and g + 8, and of each n8 tile of scores two columns:
//
//   score[n][0] score[n][1]   row g       columns 8n + 2q, 8n + 2q + 1
//   score[n][2] score[n][3]   row g + 8
//
// so a row lies in the four lanes of a quad.
#pragma once

#include "attention/arguments.h"
#include "device/device.h"

namespace gpu {

/// Multiplies each of a lane's two rows by its factor.
template <int tiles>
GPU_DEVICE void scale_rows(float (&value)[tiles][4], const float (&factor)[2]) {
  GPU_UNROLL
  for (int n = 0; n < tiles; ++n) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) value[n][i] *= factor[i / 2];
  }
}

/// The two rows of a lane.
struct RowState {
  /// Largest score so far, in the units of the scores; −∞ when no key was visible.
  float largest[2];
  /// Sum of the weights that this lane has seen; of the row only after `finish`.
  float sum[2];

  GPU_DEVICE void start() {
    largest[0] = largest[1] = negative_infinity();
    sum[0] = sum[1] = 0;
  }

  /// Replaces scores by weights exp(score − largest). What was accumulated under a smaller maximum is to be
  /// multiplied by `rescale`. `log2_factor` turns a score into an exponent of 2.
  template <int score_tiles>
  GPU_DEVICE void weigh(float (&score)[score_tiles][4], float log2_factor, float (&rescale)[2]) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      float maximum_here = largest[half];
      GPU_UNROLL
      for (int n = 0; n < score_tiles; ++n) {
        maximum_here = maximum(maximum_here, maximum(score[n][2 * half], score[n][2 * half + 1]));
      }
      maximum_here = warp_max<4>(maximum_here);
      // A row without a visible key so far: any finite offset keeps exp(−∞) = 0 from becoming NaN.
      const float offset = maximum_here == negative_infinity() ? 0.0f : maximum_here * log2_factor;
      // Exactly 1 where no score is larger, which a fused multiply-add would miss: tiles of which a row sees
      // nothing must not change it.
      rescale[half] =
          maximum_here == largest[half] ? 1.0f : exp2_approximate(largest[half] * log2_factor - offset);
      largest[half] = maximum_here;
      sum[half] *= rescale[half];
      GPU_UNROLL
      for (int n = 0; n < score_tiles; ++n) {
        GPU_UNROLL
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          score[n][i] = exp2_approximate(score[n][i] * log2_factor - offset);
          sum[half] += score[n][i];
        }
      }
    }
  }

  /// The same, and rescales the output.
  template <int score_tiles, int output_tiles>
  GPU_DEVICE void update(float (&score)[score_tiles][4], float (&output)[output_tiles][4],
                         float log2_factor) {
    float rescale[2];
    weigh(score, log2_factor, rescale);
    scale_rows(output, rescale);
  }

  /// Adds up the lanes of each row. Returns nothing; afterwards `sum` is the row's, 0 when no key was
  /// visible.
  GPU_DEVICE void finish() {
    sum[0] = warp_sum<4>(sum[0]);
    sum[1] = warp_sum<4>(sum[1]);
  }
};

/// What ends a row.
struct RowResult {
  /// Multiplies what was accumulated; 0 when no key was visible.
  float factor;
  /// ln Σ exp(score)
  float log_sum;

  /// Of a row with Σ exp(score − largest) = `sum`, where `log2_factor` turns a score into an exponent of 2.
  /// `sink` is null, or the score of a key without a value.
  GPU_DEVICE static RowResult of(float largest, float sum, float log2_factor, const float* sink) {
    const float exponent = sum == 0.0f ? negative_infinity() : largest * log2_factor;
    const float sink_exponent = sink ? *sink * log2_e : negative_infinity();
    const float offset = maximum(exponent, sink_exponent);
    if (offset == negative_infinity()) return {0.0f, negative_infinity()};
    const float weight = sink ? exp2_approximate(exponent - offset) : 1.0f;
    const float total = sink ? sum * weight + exp2_approximate(sink_exponent - offset) : sum;
    return {weight / total, offset * ln_2 + logf(total)};
  }
};

/// What changes scores before the softmax, beyond a factor: softcap, ALiBi and masks.
struct ScoreRules {
  float scale;
  float softcap;
  int window;
  int context;
  bool causal;
  bool has_slopes;
  int sinks;

  GPU_DEVICE static ScoreRules of(const AttentionArguments& p, int context) {
    return {p.scale, p.softcap, p.window, context, p.causal, p.alibi_slopes != nullptr, p.sinks};
  }

  /// Whether scores stay plain dot products, so that the scale can be folded into the exponent.
  GPU_DEVICE bool plain() const { return softcap == 0.0f && !has_slopes; }
  GPU_DEVICE float log2_factor() const { return plain() ? scale * log2_e : log2_e; }

  /// Whether a query has left keys between the sinks and its window behind. Without sinks: any keys.
  GPU_DEVICE bool has_left(int query) const { return window > 0 && query - window >= sinks; }

  GPU_DEVICE bool visible(int query, int key) const {
    return key < context && (!causal || key <= query) && (key > query - window || !has_left(query));
  }
  /// Whether a key is one of the sinks, and a query meets it as such.
  GPU_DEVICE bool meets_sink(int query, int key) const { return key < sinks && has_left(query); }

  /// The keys that a query sees: from `first` to `last`.
  struct Keys {
    int first, last;
  };
  GPU_DEVICE Keys visible_keys(int query) const {
    return {window == 0 ? 0 : query - window + 1, causal && query < context ? query : context - 1};
  }

  /// Whether every query of `first_query ... last_query` sees all of `first_key ... last_key` for certain.
  GPU_DEVICE bool all_visible(int first_query, int last_query, int first_key, int last_key) const {
    return last_key < context && (!causal || last_key <= first_query) &&
           (window == 0 || first_key > last_query - window);
  }

  GPU_DEVICE float apply(float dot, float slope, int query, int key) const {
    float score = dot * scale;
    if (softcap != 0.0f) score = softcap * tanh_approximate(score / softcap);
    return score + slope * float(key - query);
  }

  /// `apply` for two rows' scores at once; element i of tile n is that of query + 8 (i / 2) and of key + 8n +
  /// i % 2.
  template <int tiles>
  GPU_DEVICE void apply_to(float (&score)[tiles][4], float slope, int query, int key) const {
    if (softcap != 0.0f) {
      const float inner = scale / softcap;
      GPU_UNROLL
      for (int n = 0; n < tiles; ++n) {
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) score[n][i] = softcap * tanh_approximate(score[n][i] * inner);
      }
    } else {
      GPU_UNROLL
      for (int n = 0; n < tiles; ++n) {
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) score[n][i] *= scale;
      }
    }
    if (!has_slopes) return;
    const float distance[2] = {float(key - query), float(key - query - 8)};
    GPU_UNROLL
    for (int n = 0; n < tiles; ++n) {
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) score[n][i] += slope * (distance[i / 2] + float(8 * n + i % 2));
    }
  }

  /// Gives the scores of keys that their query does not see the value of a masked one.
  template <int tiles>
  GPU_DEVICE void mask(float (&score)[tiles][4], int query, int key) const {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Keys keys = visible_keys(query + 8 * half);
      const int first = keys.first - key, last = keys.last - key;
      GPU_UNROLL
      for (int n = 0; n < tiles; ++n) {
        GPU_UNROLL
        for (int i = 0; i < 2; ++i) {
          const bool hidden = 8 * n + i < first || 8 * n + i > last;
          score[n][2 * half + i] = hidden ? negative_infinity() : score[n][2 * half + i];
        }
      }
    }
  }
};

}  // namespace gpu

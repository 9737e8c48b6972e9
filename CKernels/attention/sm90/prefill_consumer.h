// The warpgroups of prefill attention that compute with wgmma.
#pragma once

#include "attention/sm90/prefill_shape.h"
#include "attention/softmax.h"

namespace gpu {

/// One of the two warpgroups that compute.
template <class T, class Shape>
class PrefillConsumer {
 public:
  using Barrier = typename Shape::Barrier;
  static constexpr int score_tiles = Shape::keys / 8;
  static constexpr int output_tiles = Shape::columns / 8;

  GPU_DEVICE PrefillConsumer(const AttentionArguments& p, const PrefillRange& range, SharedAddress base,
                             int index)
      : p_(p),
        range_(range),
        base_(base),
        index_(index),
        rules_(ScoreRules::of(p, range.context)),
        slope_(p.alibi_slopes ? p.alibi_slopes[range.head] : 0.0f) {}

  GPU_DEVICE void run() {
    const float log2_factor = rules_.log2_factor();
    float output[output_tiles][4] = {};
    float score[score_tiles][4] = {};
    uint32_t weights[Shape::keys / 16][4];
    RowState state;
    state.start();
    RingPosition<Shape::stages> keys, values;

    if (range_.first_tile < range_.tiles_end) {
      wait_mbarrier(base_ + Barrier::query_full, 0);
      int tile = range_.tiles_end - 1;
      await_keys(keys);
      start_scores(score, keys);
      wait_wgmma<0>(score);
      hand_back(Barrier::keys_empty, keys);
      float rescale[2];
      apply_rules(score, tile);
      state.weigh(score, log2_factor, rescale);
      pack_weights(score, weights);

      if (tile > range_.first_tile) await_keys(keys);
      const bool turns = Shape::takes_turns && tile > range_.first_tile;
      if (turns && index_ == 1) pass_turn();
      while (--tile >= range_.first_tile) {
        if (Shape::takes_turns) await_turn();
        start_scores(score, keys);
        start_output(output, weights, values);
        if (Shape::takes_turns && (index_ == 0 || tile > range_.first_tile)) pass_turn();
        wait_wgmma<1>(score);
        hand_back(Barrier::keys_empty, keys);
        apply_rules(score, tile);
        state.weigh(score, log2_factor, rescale);
        // Here and not before the next scores: ptxas moves a wait for products up as far as the last branch,
        // here that of this loop, and the softmax is to run before it.
        pin_registers(score);
        if (tile > range_.first_tile) await_keys(keys);
        wait_wgmma<0>(output);
        hand_back(Barrier::values_empty, values);
        scale_rows(output, rescale);
        pack_weights(score, weights);
      }
      fence_wgmma();
      start_output(output, weights, values);
      wait_wgmma<0>(output);
    }
    write(output, state, log2_factor);
  }

 private:
  GPU_DEVICE void await_keys(const RingPosition<Shape::stages>& keys) {
    wait_mbarrier(base_ + Barrier::keys_full + keys.stage * mbarrier_bytes, keys.parity);
  }

  /// Q · K(tile)ᵀ of this warpgroup's rows, for keys that have arrived.
  GPU_DEVICE void start_scores(float (&score)[score_tiles][4], const RingPosition<Shape::stages>& keys) {
    const SharedAddress query = base_ + index_ * Shape::consumer_rows * Shape::row_bytes;
    const SharedAddress tile = base_ + Shape::key_tiles + keys.stage * Shape::tile_bytes;
    fence_wgmma();
    constexpr int steps = Shape::panel_columns / 16;
    GPU_UNROLL
    for (int step = 0; step < Shape::columns / 16; ++step) {
      const int panel = step / steps, within = step % steps * 32;
      wgmma<T, false>(
          score,
          k_major(query + panel * Shape::query_rows * Shape::row_bytes, Shape::swizzle).advanced(within),
          k_major(tile + panel * Shape::keys * Shape::row_bytes, Shape::swizzle).advanced(within), step > 0);
    }
    commit_wgmma();
  }

  /// output += weights · V(tile).
  GPU_DEVICE void start_output(float (&output)[output_tiles][4],
                               const uint32_t (&weights)[Shape::keys / 16][4],
                               const RingPosition<Shape::stages>& values) {
    const SharedAddress tile = base_ + Shape::value_tiles + values.stage * Shape::tile_bytes;
    wait_mbarrier(base_ + Barrier::values_full + values.stage * mbarrier_bytes, values.parity);
    GPU_UNROLL
    for (int step = 0; step < Shape::keys / 16; ++step) {
      wgmma<T, true>(output, weights[step],
                     transposed(tile, Shape::swizzle, Shape::keys * Shape::row_bytes)
                         .advanced(step * 16 * Shape::row_bytes),
                     true);
    }
    commit_wgmma();
  }

  /// The stage has been read; goes on to the next.
  GPU_DEVICE void hand_back(int empty, RingPosition<Shape::stages>& ring) {
    if (thread_index() % 128 == 0) arrive_mbarrier(base_ + empty + ring.stage * mbarrier_bytes);
    ring.advance();
  }

  GPU_DEVICE void await_turn() {
    if (index_ == 0) {
      sync_named<1>(256);
    } else {
      sync_named<2>(256);
    }
  }
  GPU_DEVICE void pass_turn() {
    if (index_ == 0) {
      arrive_named<2>(256);
    } else {
      arrive_named<1>(256);
    }
  }

  /// The first of the lane's two rows, counted in the block.
  GPU_DEVICE int lane_row() const {
    return index_ * Shape::consumer_rows + thread_index() % 128 / warp_size * 16 + lane_index() / 4;
  }

  GPU_DEVICE void apply_rules(float (&score)[score_tiles][4], int tile) const {
    const int first_key = tile * Shape::keys, row = index_ * Shape::consumer_rows;
    const int offset = range_.first_position - range_.first_row;
    const bool masked = !rules_.all_visible(
        range_.first_position + row, offset + range_.last_row(range_.first_row + row, Shape::consumer_rows),
        first_key, first_key + Shape::keys - 1);
    const int query = range_.first_position + lane_row(), key = first_key + 2 * (lane_index() % 4);
    if (!rules_.plain()) rules_.apply_to(score, slope_, query, key);
    if (masked) rules_.mask(score, query, key);
  }

  /// Two n8 tiles of weights are one A operand: their columns are its k.
  GPU_DEVICE static void pack_weights(const float (&score)[score_tiles][4],
                                      uint32_t (&weights)[Shape::keys / 16][4]) {
    GPU_UNROLL
    for (int step = 0; step < Shape::keys / 16; ++step) {
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float(&pair)[4] = score[2 * step + i / 2];
        weights[step][i] = pack<T>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
      }
    }
  }

  GPU_DEVICE void write(const float (&output)[output_tiles][4], RowState& state, float log2_factor) const {
    state.finish();
    const int64_t output_step = int64_t(p_.query_heads) * p_.head_dimension;
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = range_.first_row + lane_row() + 8 * half;
      if (row >= range_.queries) continue;
      const RowResult result = RowResult::of(state.largest[half], state.sum[half], log2_factor,
                                             p_.sink_logits ? p_.sink_logits + range_.head : nullptr);
      T* target =
          static_cast<T*>(p_.output) + (range_.start + row) * output_step + range_.head * p_.head_dimension;
      GPU_UNROLL
      for (int n = 0; n < output_tiles; ++n) {
        const int column = 8 * n + 2 * (lane_index() % 4);
        if (column >= p_.head_dimension) continue;
        *reinterpret_cast<uint32_t*>(target + column) =
            pack<T>(output[n][2 * half] * result.factor, output[n][2 * half + 1] * result.factor);
      }
      if (p_.log_sums && lane_index() % 4 == 0) {
        p_.log_sums[int64_t(range_.head) * p_.tokens + range_.start + row] = result.log_sum;
      }
    }
  }

  const AttentionArguments& p_;
  const PrefillRange& range_;
  SharedAddress base_;
  int index_;
  ScoreRules rules_;
  float slope_;
};

}  // namespace gpu

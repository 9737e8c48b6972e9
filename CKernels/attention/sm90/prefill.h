// Attention of many query rows over the paged cache with TMA and wgmma (sm_90a), in the form of
// FlashAttention-3 (Shah et al. 2024, arXiv 2407.08608).
//
// A block computes 128 query rows of one head: two warpgroups of 64 rows each, which share the keys and
// values that a third one brings. Tiles of keys are walked from the last to the first. A consumer starts the
// next tile's scores and the last tile's output together, and computes the softmax while the other consumer's
// products run; they take turns in starting products:
//
//   consumer 0   Q·K(1)ᵀ P·V(0) │ softmax(1)           │ Q·K(2)ᵀ P·V(1) │ softmax(2) ...
//   consumer 1                  │ Q·K(1)ᵀ P·V(0)       │ softmax(1)     │ Q·K(2)ᵀ P·V(1) ...
//
// The cache's blocks of 16 tokens are boxes of 16 rows and 64 components, one a lane of the producer's warp;
// they lie in shared memory one after the other, so that a tile looks as if its keys had been contiguous.
#pragma once

#include "attention/arguments.h"
#include "attention/cache.h"
#include "attention/softmax.h"

namespace gpu {

/// What the kernels take.
struct PrefillSm90Call {
  AttentionArguments attention;
  /// (component, head, token), boxes of a panel's components x 1 x 128.
  TensorMap query;
  /// (component, place in the block, part · key heads + key head, block), boxes of a panel's components x 16
  /// x 1 x 1.
  TensorMap cache;
};

/// ```
/// shared   query | keys of stage 0, 1 | values of stage 0, 1 | mbarriers
/// ```
/// Each tile is in panels of 64 or 32 components, rows of 128 or 64 bytes, swizzled.
template <int columns_, int keys_, int panel_columns_>
struct PrefillSm90Shape {
  /// Components of a head, padded with zeros.
  static constexpr int columns = columns_;
  static constexpr int keys = keys_;
  static constexpr int query_rows = 128;
  static constexpr int consumers = 2;
  static constexpr int consumer_rows = query_rows / consumers;
  static constexpr int threads = (1 + consumers) * 128;
  static constexpr int stages = 2;
  static constexpr int panel_columns = panel_columns_;
  static constexpr int panels = columns / panel_columns;
  static constexpr int row_bytes = panel_columns * 2;
  static constexpr Swizzle swizzle = row_bytes == 128 ? Swizzle::bytes_128 : Swizzle::bytes_64;
  /// Wide heads have so much to multiply that waiting for a turn would cost more than it brings.
  static constexpr bool takes_turns = columns <= 128;

  static constexpr int query_bytes = panels * query_rows * row_bytes;
  static constexpr int tile_bytes = panels * keys * row_bytes;
  static constexpr int key_tiles = query_bytes;
  static constexpr int value_tiles = key_tiles + stages * tile_bytes;
  /// mbarriers, in the order of `Barrier`.
  static constexpr int barriers = value_tiles + stages * tile_bytes;
  static constexpr int alignment = 1024;
  static constexpr int shared_bytes = alignment + barriers + (2 + 4 * stages) * mbarrier_bytes;

  static constexpr int pages = keys / kv_block_tokens;
  static constexpr int boxes = pages * panels;
  static_assert(boxes <= warp_size, "a lane brings one box");
  static_assert(columns % panel_columns == 0 && row_bytes == swizzle_span(swizzle), "panels are whole rows");
  static_assert(shared_bytes <= 227 * 1024, "what sm_90 offers a block");

  struct Barrier {
    static constexpr int query_full = barriers;
    /// The last values have arrived, but what follows the last key has not been cleared.
    static constexpr int values_landed = query_full + mbarrier_bytes;
    static constexpr int keys_full = values_landed + mbarrier_bytes;
    static constexpr int keys_empty = keys_full + stages * mbarrier_bytes;
    static constexpr int values_full = keys_empty + stages * mbarrier_bytes;
    static constexpr int values_empty = values_full + stages * mbarrier_bytes;
  };
};

/// Which rows and keys a block works on.
struct PrefillRange {
  int head, key_head, sequence;
  /// Of the sequence, in all rows; its own first row, and the position of that.
  int start, queries, first_row, first_position;
  int context;
  /// Tiles of keys that some row sees.
  int first_tile, tiles_end;

  template <class Shape>
  GPU_DEVICE static PrefillRange of(const AttentionArguments& p) {
    PrefillRange r;
    // Rows that see the most keys come first: they take longest.
    r.first_row = (grid_x() - 1 - block_x()) * Shape::query_rows;
    r.head = block_y();
    r.sequence = block_z();
    r.key_head = r.head / (p.query_heads / p.key_heads);
    r.start = p.query_starts[r.sequence];
    r.queries = p.query_starts[r.sequence + 1] - r.start;
    r.context = p.context_lengths[r.sequence];
    r.first_position = r.context - r.queries + r.first_row;
    const int last_position = r.context - r.queries + r.last_row(r.first_row, Shape::query_rows);
    const int key_end = p.causal && last_position + 1 < r.context ? last_position + 1 : r.context;
    const int key_begin =
        p.window > 0 && r.first_position - p.window + 1 > 0 ? r.first_position - p.window + 1 : 0;
    r.first_tile = key_begin / Shape::keys;
    r.tiles_end = (key_end + Shape::keys - 1) / Shape::keys;
    return r;
  }

  /// The last of `count` rows from `row` on that the sequence has.
  GPU_DEVICE int last_row(int row, int count) const {
    return row + count < queries ? row + count - 1 : queries - 1;
  }
};

/// The producer's warp: brings the query, and keys and values as their stages become empty.
template <class Shape>
class PrefillProducer {
 public:
  using Barrier = typename Shape::Barrier;

  GPU_DEVICE PrefillProducer(const PrefillSm90Call& p, const PrefillRange& range, unsigned char* array,
                             SharedAddress base)
      : p_(p), range_(range), array_(array), base_(base) {}

  GPU_DEVICE void run() {
    const int lane = lane_index();
    if (lane == 0) {
      arrive_mbarrier_expecting(base_ + Barrier::query_full, Shape::query_bytes);
      for (int panel = 0; panel < Shape::panels; ++panel) {
        load_box(base_ + panel * Shape::query_rows * Shape::row_bytes, p_.query, base_ + Barrier::query_full,
                 Shape::panel_columns * panel, range_.head, range_.start + range_.first_row);
      }
    }
    RingPosition<Shape::stages> ring;
    for (int tile = range_.tiles_end - 1; tile >= range_.first_tile; --tile, ring.advance()) {
      const int at = ring.stage * mbarrier_bytes;
      const SharedAddress full = base_ + Barrier::keys_full + at;
      wait_mbarrier(base_ + Barrier::keys_empty + at, ring.parity ^ 1);
      announce(full);
      bring(tile, CachePart::keys, base_ + Shape::key_tiles + ring.stage * Shape::tile_bytes, full);

      wait_mbarrier(base_ + Barrier::values_empty + at, ring.parity ^ 1);
      bring_values(tile, Shape::value_tiles + ring.stage * Shape::tile_bytes,
                   base_ + Barrier::values_full + at);
    }
  }

 private:
  GPU_DEVICE void announce(SharedAddress barrier) {
    if (lane_index() == 0) arrive_mbarrier_expecting(barrier, Shape::tile_bytes);
    sync_warp();
  }

  /// Each lane brings one panel of one block. Blocks past the last key become zeros without being looked up.
  GPU_DEVICE void bring(int tile, CachePart part, SharedAddress target, SharedAddress barrier) {
    const int lane = lane_index();
    if (lane >= Shape::boxes) return;
    const AttentionArguments& a = p_.attention;
    const int page = lane % Shape::pages, panel = lane / Shape::pages;
    const int position = tile * Shape::keys + page * kv_block_tokens;
    const bool present = position < range_.context;
    const int32_t* table = a.block_tables + int64_t(range_.sequence) * a.table_stride;
    const int block = present ? table[position / kv_block_tokens] : 0;
    load_box(target + (panel * Shape::keys + page * kv_block_tokens) * Shape::row_bytes, p_.cache, barrier,
             Shape::panel_columns * panel, present ? 0 : kv_block_tokens,
             int(part) * a.key_heads + range_.key_head, block);
  }

  /// What follows the last key in its block may be anything, NaN too, which no weight of zero would hide. So
  /// those values are cleared before they are handed on.
  GPU_DEVICE void bring_values(int tile, int offset, SharedAddress full) {
    const int left = range_.context - tile * Shape::keys, last = left % kv_block_tokens;
    if (left >= Shape::keys || last == 0) {
      announce(full);
      return bring(tile, CachePart::values, base_ + offset, full);
    }
    const SharedAddress landed = base_ + Barrier::values_landed;
    announce(landed);
    bring(tile, CachePart::values, base_ + offset, landed);
    wait_mbarrier(landed, 0);
    constexpr int chunks = Shape::row_bytes / 16;
    const int rows = kv_block_tokens - last;
    for (int i = lane_index(); i < rows * Shape::panels * chunks; i += warp_size) {
      const int row = i / chunks / Shape::panels, panel = i / chunks % Shape::panels;
      *reinterpret_cast<Packed*>(array_ + offset + (panel * Shape::keys + left + row) * Shape::row_bytes +
                                 i % chunks * 16) = {};
    }
    fence_async_proxy();
    sync_warp();
    if (lane_index() == 0) arrive_mbarrier(full);
  }

  const PrefillSm90Call& p_;
  const PrefillRange& range_;
  unsigned char* array_;
  SharedAddress base_;
};

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
                                             p_.sinks ? p_.sinks + range_.head : nullptr);
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

template <class T, class Shape>
GPU_KERNEL(384, 1)
prefill_sm90_kernel(GPU_PARAMETER PrefillSm90Call p) {
  using Barrier = typename Shape::Barrier;
  GPU_SHARED(shared);
  const PrefillRange range = PrefillRange::of<Shape>(p.attention);
  if (range.first_row >= range.queries || range.queries < p.attention.fewest_rows) return;
  const SharedAddress start = shared_address(shared);
  const SharedAddress base = (start + Shape::alignment - 1) / Shape::alignment * Shape::alignment;
  if (thread_index() == 0) {
    prefetch_tensor_map(p.query);
    prefetch_tensor_map(p.cache);
    init_mbarrier(base + Barrier::query_full, 1);
    init_mbarrier(base + Barrier::values_landed, 1);
    for (int stage = 0; stage < Shape::stages * mbarrier_bytes; stage += mbarrier_bytes) {
      init_mbarrier(base + Barrier::keys_full + stage, 1);
      init_mbarrier(base + Barrier::values_full + stage, 1);
      init_mbarrier(base + Barrier::keys_empty + stage, Shape::consumers);
      init_mbarrier(base + Barrier::values_empty + stage, Shape::consumers);
    }
    publish_mbarriers();
  }
  sync_block();
  if (thread_index() < 128) {
    // More than where one thread issues copies: each lane looks up its own block.
    give_registers<40>();
    if (warp_index() == 0 && range.first_tile < range.tiles_end) {
      PrefillProducer<Shape>(p, range, shared + (base - start), base).run();
    }
  } else {
    take_registers<232>();
    PrefillConsumer<T, Shape>(p.attention, range, base, thread_index() / 128 - 1).run();
  }
}

template <class T, class Shape>
Status launch_prefill_sm90(Stream stream, const char* name, const PrefillSm90Call& call) {
  const AttentionArguments& a = call.attention;
  LaunchShape shape;
  shape.grid = {(a.max_queries + Shape::query_rows - 1) / Shape::query_rows, a.query_heads, a.sequences};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, name, shape, prefill_sm90_kernel<T, Shape>, call);
}

/// Components of a panel, in the form that `run_prefill_sm90` chooses for a head.
inline int prefill_sm90_panel(int dimension) { return dimension > 64 && dimension <= 96 ? 32 : 64; }

/// The narrowest form that holds the head.
template <class T>
Status run_prefill_sm90(Stream stream, const PrefillSm90Call& c) {
  const int dimension = c.attention.head_dimension;
  if (dimension <= 64)
    return launch_prefill_sm90<T, PrefillSm90Shape<64, 128, 64>>(stream, "prefill_sm90<64>", c);
  if (dimension <= 96)
    return launch_prefill_sm90<T, PrefillSm90Shape<96, 128, 32>>(stream, "prefill_sm90<96>", c);
  if (dimension <= 128) {
    return launch_prefill_sm90<T, PrefillSm90Shape<128, 128, 64>>(stream, "prefill_sm90<128>", c);
  }
  return launch_prefill_sm90<T, PrefillSm90Shape<256, 64, 64>>(stream, "prefill_sm90<256>", c);
}

Status prefill_sm90_bf16(Stream stream, const PrefillSm90Call& call);
Status prefill_sm90_f16(Stream stream, const PrefillSm90Call& call);

}  // namespace gpu

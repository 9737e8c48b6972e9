// Attention of many query rows over the paged cache, with mma.sync and cp.async (sm_80 and later):
// FlashAttention-2's forward pass (Dao 2023, arXiv 2307.08691).
//
// One block computes 64 query rows of one head; each of its four warps owns sixteen rows, so no row is shared
// between warps. Keys are walked from the last tile of 64 to the first. While a tile's scores are computed
// its values arrive, and while the weights are applied the next keys do:
//
//   copies    K(n) ·········· V(n) ·········· K(n−1) ········· V(n−1) ···
//   warps           wait ── Q·K(n)ᵀ ── wait ── softmax, P·V(n) ── wait ── ...
//
// In streams the tiles of the sinks follow, whose query takes the place of the other one beside their first
// keys.
//
#pragma once

#include "attention/arguments.h"
#include "attention/cache.h"
#include "attention/code_cache.h"
#include "attention/softmax.h"
#include "device/tile.h"

namespace gpu {

/// Sizes of a block of the kernel for heads of up to `columns` components.
///
/// ```
/// shared   query rows | keys | values
/// codes    query rows | keys | values | codes of keys | of values | scales of keys
/// ```
template <int columns, bool codes = false>
struct PrefillShape {
  static constexpr int query_rows = 64;
  /// Fewer for wide heads, whose output fills half of the registers.
  static constexpr int keys = columns > 128 ? 32 : 64;
  static constexpr int threads = 128;
  /// Query fragments stay in registers where there is room; else they are read again for each tile of keys.
  static constexpr bool holds_query = columns <= 64;
  static constexpr int lookups = columns > 128 ? 2 : columns > 64 ? 4 : 8;
  static constexpr int key_tile = Tile<columns>::bytes(query_rows);
  static constexpr int value_tile = key_tile + Tile<columns>::bytes(keys);
  static constexpr int key_codes = value_tile + Tile<columns>::bytes(keys);
  static constexpr int value_codes = key_codes + keys * (columns + 4);
  static constexpr int key_scales = value_codes + keys * (columns + 4);
  static constexpr int shared_bytes = codes ? key_scales + keys * 4 : key_codes;
  static_assert(shared_bytes <= 99 * 1024, "what sm_89 offers a block");
};

/// The tiles of keys that a block visits, the last one first: those of `begin ..< end`, of which each row
/// sees those up to its own position, of its window where it has one; and then, where rows of a stream have
/// left keys behind, those of the sinks.
struct PrefillWalk {
  int begin, end, sinks;
  int last_tile, window_steps, steps;

  /// Of rows that stand at `first_position ... last_position`.
  GPU_DEVICE static PrefillWalk of(const AttentionArguments& p, int context, int first_position,
                                   int last_position, int tile_keys) {
    PrefillWalk w;
    const int first_seen = first_position - p.window + 1;
    // The first row of a stream sees all keys as long as it has left none behind.
    w.begin = p.window > 0 && first_seen > p.sinks ? first_seen : 0;
    w.end = context;
    w.sinks = p.sinks;
    const int key_end = p.causal && last_position + 1 < context ? last_position + 1 : context;
    const int first_tile = w.begin / tile_keys;
    const int tiles_end = (key_end + tile_keys - 1) / tile_keys;
    w.last_tile = tiles_end - 1;
    w.window_steps = tiles_end > first_tile ? tiles_end - first_tile : 0;
    const bool meets_sinks = p.sinks > 0 && last_position - p.window >= p.sinks;
    w.steps = w.window_steps + (meets_sinks ? (p.sinks + tile_keys - 1) / tile_keys : 0);
    return w;
  }

  GPU_DEVICE bool is_sink(int step) const { return step >= window_steps; }
  GPU_DEVICE bool begins_sinks(int step) const { return step == window_steps && step < steps; }
  GPU_DEVICE int tile(int step) const { return is_sink(step) ? steps - 1 - step : last_tile - step; }
  /// The keys of a step's run; others may have been given away.
  GPU_DEVICE int first_key(int step) const { return is_sink(step) ? 0 : begin; }
  GPU_DEVICE int keys_end(int step) const { return is_sink(step) ? sinks : end; }
};

template <class T, int columns, bool codes>
GPU_DEVICE void prefill(const AttentionArguments& p) {
  using Shape = PrefillShape<columns, codes>;
  using Rows = Tile<columns>;
  using Codes = CodeTile<T, columns, Shape::keys, Shape::threads>;
  constexpr int k_steps = columns / 16;
  constexpr int score_tiles = Shape::keys / 8;
  constexpr int output_tiles = columns / 8;
  GPU_SHARED(shared);

  // Rows that see the most keys come first: they take longest.
  const int first_row = (grid_x() - 1 - block_x()) * Shape::query_rows;
  const int head = block_y(), sequence = block_z();
  const int key_head = head / (p.query_heads / p.key_heads);
  const int start = p.query_starts[sequence];
  const int queries = p.query_starts[sequence + 1] - start;
  if (first_row >= queries) return;
  const int context = p.context_lengths[sequence];
  const int row_position = context - queries;

  const ScoreRules rules = ScoreRules::of(p, context);
  const float slope = p.alibi_slopes ? p.alibi_slopes[head] : 0.0f;
  const float log2_factor = rules.log2_factor();

  const int last_row =
      first_row + Shape::query_rows < queries ? first_row + Shape::query_rows - 1 : queries - 1;
  const int first_position = row_position + first_row, last_position = row_position + last_row;
  const auto walk = PrefillWalk::of(p, context, first_position, last_position, Shape::keys);

  const int64_t query_step = query_stride(p), sink_step = sink_query_stride(p);
  const int64_t output_step = int64_t(p.query_heads) * p.head_dimension;
  const T* query = static_cast<const T*>(p.query) + start * query_step + head * p.head_dimension;
  const std::conditional_t<codes, CodeCacheHead, CacheHead<T>> cache(p, sequence, key_head);

  const SharedAddress query_tile = shared_address(shared);
  const SharedAddress key_tile = query_tile + Shape::key_tile;
  const SharedAddress value_tile = query_tile + Shape::value_tile;

  auto copy_queries = [&](const T* rows, int64_t step) {
    copy_tile<T, columns, Shape::query_rows, Shape::threads, Shape::lookups>(
        query_tile, p.head_dimension, query, [&](int row) -> const T* {
          return first_row + row < queries ? rows + (first_row + row) * step : nullptr;
        });
  };
  auto copy_sink_queries = [&] {
    copy_queries(static_cast<const T*>(p.sink_query) + start * sink_step + head * p.head_dimension,
                 sink_step);
  };
  auto copy_keys_or_values = [&](SharedAddress tile, int step, CachePart part) {
    const int first = walk.tile(step) * Shape::keys;
    const int begin = walk.first_key(step), end = walk.keys_end(step);
    if constexpr (codes) {
      Codes::copy(query_tile + SharedAddress(part == CachePart::keys ? Shape::key_codes : Shape::value_codes),
                  cache, p.head_dimension, first, begin, end, part, query);
    } else {
      copy_tile<T, columns, Shape::keys, Shape::threads, Shape::lookups>(
          tile, p.head_dimension, query, [&](int row) { return cache.row(first + row, begin, end, part); });
    }
  };

  // What has arrived as codes becomes a tile; elements are one already.
  [[maybe_unused]] float* key_scales = reinterpret_cast<float*>(shared + Shape::key_scales);
  [[maybe_unused]] const bool is_float8 = p.codes == CacheCodes::float8;
  auto widen_keys = [&](int step) {
    if constexpr (codes) {
      Codes::widen_keys(shared + Shape::key_codes, shared + Shape::key_tile, key_scales,
                        walk.tile(step) * Shape::keys, walk.first_key(step), walk.keys_end(step), is_float8);
      sync_block();
    }
  };
  auto widen_values = [&](int step) {
    if constexpr (codes) {
      Codes::widen_values(shared + Shape::value_codes, shared + Shape::value_tile,
                          walk.tile(step) * Shape::keys, walk.first_key(step), walk.keys_end(step),
                          is_float8);
      sync_block();
    }
  };

  float output[output_tiles][4] = {};
  RowState state;
  state.start();

  const int warp_row = warp_index() * 16;
  const int g = lane_index() / 4, q = lane_index() % 4;
  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b(), v_row = lane_row_of_b_transposed();

  copy_queries(query, query_step);
  if (walk.steps > 0) copy_keys_or_values(key_tile, 0, CachePart::keys);
  commit_copies();
  wait_copies<0>();
  sync_block();
  if (walk.steps > 0) widen_keys(0);
  uint32_t query_fragment[Shape::holds_query ? k_steps : 1][4];
  auto load_query = [&](int k) {
    load_matrices(query_fragment[Shape::holds_query ? k : 0],
                  query_tile + Rows::offset(warp_row + a_row.row, 2 * k + a_row.chunk));
  };
  auto hold_query = [&] {
    if constexpr (Shape::holds_query) {
      GPU_UNROLL
      for (int k = 0; k < k_steps; ++k) load_query(k);
    }
  };
  hold_query();

  for (int step = 0; step < walk.steps; ++step) {
    copy_keys_or_values(value_tile, step, CachePart::values);
    commit_copies();

    float score[score_tiles][4] = {};
    [[maybe_unused]] constexpr int unrolled = columns > 128 ? 4 : k_steps;
    GPU_UNROLL_SOME
    for (int k = 0; k < k_steps; ++k) {
      if constexpr (!Shape::holds_query) load_query(k);
      const uint32_t(&queries_at_k)[4] = query_fragment[Shape::holds_query ? k : 0];
      GPU_UNROLL
      for (int n = 0; n < score_tiles; n += 2) {
        uint32_t keys[4];
        load_matrices(keys, key_tile + Rows::offset(8 * n + b_row.row, 2 * k + b_row.chunk));
        mma_m16n8k16<T>(score[n], queries_at_k, keys[0], keys[1]);
        mma_m16n8k16<T>(score[n + 1], queries_at_k, keys[2], keys[3]);
      }
    }

    if constexpr (codes) {
      GPU_UNROLL
      for (int n = 0; n < score_tiles; ++n) {
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) score[n][i] *= key_scales[8 * n + 2 * q + i % 2];
      }
    }
    const int first_key = walk.tile(step) * Shape::keys;
    const bool is_sink = walk.is_sink(step);
    const bool masked =
        is_sink || !rules.all_visible(first_position, last_position, first_key, first_key + Shape::keys - 1);
    if (masked || !rules.plain()) {
      GPU_UNROLL
      for (int n = 0; n < score_tiles; ++n) {
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int position = first_position + warp_row + g + 8 * (i / 2);
          const int key = first_key + 8 * n + 2 * q + i % 2;
          const int stands_at = is_sink ? p.sinks + p.window - 1 : position;
          if (!rules.plain()) score[n][i] = rules.apply(score[n][i], slope, stands_at, key);
          const bool visible = is_sink ? rules.meets_sink(position, key) : rules.visible(position, key);
          if (masked && !visible) score[n][i] = negative_infinity();
        }
      }
    }

    // The values have arrived, and every warp has read the keys, and the query where it does not hold it.
    wait_copies<0>();
    sync_block();
    if (step + 1 < walk.steps) copy_keys_or_values(key_tile, step + 1, CachePart::keys);
    if (walk.begins_sinks(step + 1)) copy_sink_queries();
    commit_copies();
    widen_values(step);

    state.update(score, output, log2_factor);
    GPU_UNROLL
    for (int k = 0; k < Shape::keys / 16; ++k) {
      // Two n8 tiles of weights are one A operand: their columns are its k.
      const uint32_t weights[4] = {pack<T>(score[2 * k][0], score[2 * k][1]),
                                   pack<T>(score[2 * k][2], score[2 * k][3]),
                                   pack<T>(score[2 * k + 1][0], score[2 * k + 1][1]),
                                   pack<T>(score[2 * k + 1][2], score[2 * k + 1][3])};
      GPU_UNROLL
      for (int n = 0; n < output_tiles; n += 2) {
        uint32_t values[4];
        load_matrices_transposed(values, value_tile + Rows::offset(16 * k + v_row.row, n + v_row.chunk));
        mma_m16n8k16<T>(output[n], weights, values[0], values[1]);
        mma_m16n8k16<T>(output[n + 1], weights, values[2], values[3]);
      }
    }
    // The next keys have arrived, and every warp has read the values.
    wait_copies<0>();
    sync_block();
    if (step + 1 < walk.steps) widen_keys(step + 1);
    if (walk.begins_sinks(step + 1)) hold_query();
  }

  state.finish();
  GPU_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + warp_row + g + 8 * half;
    if (row >= queries) continue;
    const RowResult result = RowResult::of(state.largest[half], state.sum[half], log2_factor,
                                           p.sink_logits ? p.sink_logits + head : nullptr);
    T* target = static_cast<T*>(p.output) + (start + row) * output_step + head * p.head_dimension;
    GPU_UNROLL
    for (int n = 0; n < output_tiles; ++n) {
      const int column = 8 * n + 2 * q;
      if (column >= p.head_dimension) continue;
      *reinterpret_cast<uint32_t*>(target + column) =
          pack<T>(output[n][2 * half] * result.factor, output[n][2 * half + 1] * result.factor);
    }
    if (p.log_sums && q == 0) {
      p.log_sums[int64_t(head) * p.tokens + start + row] = result.log_sum;
    }
  }
}

template <class T, int columns>
GPU_KERNEL(128, 2)
prefill_kernel(AttentionArguments p) {
  prefill<T, columns, false>(p);
}

template <class T, int columns>
GPU_KERNEL(128, 2)
prefill_codes_kernel(AttentionArguments p) {
  prefill<T, columns, true>(p);
}

template <class T, int columns, bool codes = false>
Status launch_prefill(Stream stream, const char* name, const AttentionArguments& a) {
  using Shape = PrefillShape<columns, codes>;
  LaunchShape shape;
  shape.grid = {(a.max_queries + Shape::query_rows - 1) / Shape::query_rows, a.query_heads, a.sequences};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  if constexpr (codes) {
    return launch(stream, name, shape, prefill_codes_kernel<T, columns>, a);
  } else {
    return launch(stream, name, shape, prefill_kernel<T, columns>, a);
  }
}

/// The narrowest form that holds the head.
template <class T>
Status run_prefill(Stream stream, const AttentionArguments& a) {
  if (a.head_dimension <= 16) return launch_prefill<T, 16>(stream, "prefill<16>", a);
  if (a.head_dimension <= 32) return launch_prefill<T, 32>(stream, "prefill<32>", a);
  if (a.head_dimension <= 64) return launch_prefill<T, 64>(stream, "prefill<64>", a);
  if (a.head_dimension <= 80) return launch_prefill<T, 80>(stream, "prefill<80>", a);
  if (a.head_dimension <= 96) return launch_prefill<T, 96>(stream, "prefill<96>", a);
  if (a.head_dimension <= 128) return launch_prefill<T, 128>(stream, "prefill<128>", a);
  return launch_prefill<T, 256>(stream, "prefill<256>", a);
}

/// The same over a cache of codes; fewer widths, as each costs a kernel.
template <class T>
Status run_prefill_codes(Stream stream, const AttentionArguments& a) {
  if (a.head_dimension <= 32) return launch_prefill<T, 32, true>(stream, "prefill_codes<32>", a);
  if (a.head_dimension <= 64) return launch_prefill<T, 64, true>(stream, "prefill_codes<64>", a);
  if (a.head_dimension <= 128) return launch_prefill<T, 128, true>(stream, "prefill_codes<128>", a);
  return launch_prefill<T, 256, true>(stream, "prefill_codes<256>", a);
}

Status prefill_codes_bf16(Stream stream, const AttentionArguments& arguments);
Status prefill_codes_f16(Stream stream, const AttentionArguments& arguments);
Status prefill_bf16(Stream stream, const AttentionArguments& arguments);
Status prefill_f16(Stream stream, const AttentionArguments& arguments);

}  // namespace gpu

// Attention of few query rows a sequence over the paged cache (sm_80 and later): the last token, and the
// drafts behind it that are verified. The context is split over blocks, as in Flash-Decoding, and
// `combine.cu` puts the parts together.
//
// A block computes sixteen rows of an mma tile over one part of the context: the query heads that share a
// key head, of as many query rows as fit.
//
//   row of the tile      0  1  2  3 | 4  5  6  7 | ...      with four heads a key head
//   query row                0      |     1      | ...
//   head of the group    0  1  2  3 | 0  1  2  3 | ...
//
// Its four warps share out the keys of each tile of 64, not the rows, so that every key and value
// is read from shared memory once; each warp keeps a softmax of its own, and the four are merged at the end.
//
// **A row has the same bits whatever other rows its sequence has**, so that a verified draft gives the logits
// that decoding it alone would have given: parts and tiles are cut at fixed positions, a row of an mma
// depends on its own operands only, and a tile of which a row sees nothing leaves that row's softmax as it
// is.
//
//   copies   tile 0 · tile 1 ········ tile 2 ········ ...        a tile is 64 keys and their values
//   warps           wait ─ tile 0 ─── wait ─ tile 1 ─ ...
//
#pragma once

#include "attention/arguments.h"
#include "attention/cache.h"
#include "attention/code_cache.h"
#include "attention/softmax.h"
#include "device/tile.h"

namespace gpu {

struct DecodeArguments {
  AttentionArguments attention;
  DecodeWorkspace workspace;
  int splits;
};

/// Tiles of `tile_rows` that the heads of a key head take, of the sequence with the most rows.
GPU_DEVICE_OR_HOST int decode_tiles(const AttentionArguments& a, int tile_rows) {
  return (a.max_queries * (a.query_heads / a.key_heads) + tile_rows - 1) / tile_rows;
}

/// ```
/// shared   query rows | keys 0 | values 0 | keys 1 | values 1                     | sink query rows
/// codes    query rows | keys | values | codes of keys | of values | scales of keys | sink query rows
/// then                | outputs [4 warps][16 rows][columns] float | largest [4][16] | sums [4][16]
/// ```
/// The sinks' query is there for streams only. Codes have one pair of tiles, which is widened from what has
/// arrived; the next codes are on their way meanwhile.
template <int columns, bool codes = false>
struct DecodeShape {
  static constexpr int rows = 16;
  /// Two stages of wide heads must fit into the 99 KiB that sm_89 offers.
  static constexpr int warps = columns > 128 ? 2 : 4;
  static constexpr int keys = warps * 16;
  static constexpr int threads = warps * warp_size;
  static constexpr int stages = codes ? 1 : 2;
  static constexpr int lookups = columns > 128 ? 4 : 8;
  static constexpr int query_bytes = Tile<columns>::bytes(rows);
  static constexpr int part_bytes = Tile<columns>::bytes(keys);
  static constexpr int merge_floats = warps * rows * (columns + 2);
  /// Of one part as it lies in the cache.
  static constexpr int code_bytes = keys * (columns + 4);
  static constexpr int key_codes = query_bytes + 2 * stages * part_bytes;
  static constexpr int value_codes = key_codes + code_bytes;
  static constexpr int key_scales = value_codes + code_bytes;
  static constexpr int sink_query = codes ? key_scales + keys * 4 : key_codes;
  static constexpr int shared_bytes(bool has_sinks) { return sink_query + (has_sinks ? query_bytes : 0); }
  static_assert(merge_floats * 4 <= sink_query - query_bytes, "the merge takes the place of the tiles");
};

/// What one row sees, where `context` keys lie up to its own position.
///
/// ```
/// all            0 ──────────────────── context
/// window                      first ─── context
/// with sinks     0 ─ sinks    first ─── context       once the row has left keys between behind
/// ```
struct RowView {
  /// Keys `first ..< context`, and before them `0 ..< sink_end`.
  int first, context, sink_end;

  GPU_DEVICE static RowView of(const AttentionArguments& p, int context) {
    const int first = p.window > 0 && context > p.window ? context - p.window : 0;
    if (p.sinks == 0) return {first, context, 0};
    return first > p.sinks ? RowView{first, context, p.sinks} : RowView{0, context, 0};
  }
};

/// The rows of one block's tile: `count` of a sequence's query rows times heads, from `first` on.
struct DecodeRows {
  int first, count;
  int group, first_head;
  /// Of the sequence's first query row: its place in the step, and the keys up to its position.
  int token, context;

  GPU_DEVICE int query(int row) const { return (first + row) / group; }
  GPU_DEVICE int head_at(int row) const { return first_head + (first + row) % group; }
  GPU_DEVICE int token_at(int row) const { return token + query(row); }
  GPU_DEVICE int context_at(int row) const { return context + query(row); }
};

/// A run of keys of one part.
struct DecodeKeys {
  int begin, end;
};

/// Which keys of the part `begin ..< end` some row of a block sees, tile by tile; a tile that has keys of
/// both runs is visited twice.
template <int tile_keys>
struct DecodeWalk {
  DecodeKeys sinks, window;
  int first_sink_tile, sink_tiles;
  int first_tile, steps;

  /// Of rows that see `earliest`, `latest` and what lies between: both ends of a view move one way only.
  GPU_DEVICE static DecodeWalk of(const RowView& earliest, const RowView& latest, int begin, int end) {
    DecodeWalk w;
    const int window_begin = earliest.first > begin ? earliest.first : begin;
    const int sink_end = latest.sink_end == 0 ? begin : latest.sink_end < end ? latest.sink_end : end;
    w.sinks = {begin, sink_end};
    w.window = {window_begin, end};
    w.first_sink_tile = begin / tile_keys;
    w.sink_tiles = sink_end > begin ? (sink_end + tile_keys - 1) / tile_keys - w.first_sink_tile : 0;
    w.first_tile = window_begin / tile_keys;
    w.steps = w.sink_tiles + (end > window_begin ? (end + tile_keys - 1) / tile_keys - w.first_tile : 0);
    return w;
  }

  GPU_DEVICE bool is_sink(int step) const { return step < sink_tiles; }
  GPU_DEVICE DecodeKeys keys(int step) const {
    return {is_sink(step) ? sinks.begin : window.begin, is_sink(step) ? sinks.end : window.end};
  }
  GPU_DEVICE int tile(int step) const {
    return is_sink(step) ? first_sink_tile + step : first_tile + step - sink_tiles;
  }
};

/// Puts the warps' softmaxes together and writes the rows, each thread some components.
template <class T, int columns>
GPU_DEVICE void write_merged(const DecodeArguments& d, const float* merge, const DecodeRows& rows, int split,
                             float log2_factor) {
  using Shape = DecodeShape<columns>;
  const AttentionArguments& p = d.attention;
  const float* largest = merge + Shape::warps * Shape::rows * columns;
  const float* sums = largest + Shape::warps * Shape::rows;
  for (int i = thread_index(); i < rows.count * p.head_dimension; i += Shape::threads) {
    const int row = i / p.head_dimension, column = i % p.head_dimension;
    const int context = rows.context_at(row);
    // The part begins behind the row's last key: nobody asks for what the row has here.
    if (split > 0 && split * d.workspace.split_keys >= context) continue;
    const bool alone = context <= d.workspace.split_keys;
    float maximum_of_warps = negative_infinity();
    for (int warp = 0; warp < Shape::warps; ++warp) {
      maximum_of_warps = maximum(maximum_of_warps, largest[warp * Shape::rows + row]);
    }
    float sum = 0, output = 0;
    for (int warp = 0; warp < Shape::warps; ++warp) {
      const int at = warp * Shape::rows + row;
      if (sums[at] == 0.0f) continue;
      const float weight = exp2_approximate((largest[at] - maximum_of_warps) * log2_factor);
      sum += weight * sums[at];
      output += weight * merge[at * columns + column];
    }
    const int head = rows.head_at(row), token = rows.token_at(row);
    // Parts meet in `combine`, which adds the sink once.
    const RowResult result = RowResult::of(maximum_of_warps, sum, log2_factor,
                                           alone && p.sink_logits ? p.sink_logits + head : nullptr);
    output *= result.factor;
    const int64_t slot = (int64_t(token) * p.query_heads + head) * d.splits + split;
    if (alone) {
      T* target = static_cast<T*>(p.output) + (int64_t(token) * p.query_heads + head) * p.head_dimension;
      target[column] = from_float<T>(output);
      if (p.log_sums && column == 0) p.log_sums[int64_t(head) * p.tokens + token] = result.log_sum;
    } else {
      d.workspace.outputs[slot * p.head_dimension + column] = output;
      if (column == 0) d.workspace.log_sums[slot] = result.log_sum;
    }
  }
}

template <class T, int columns, bool codes>
GPU_DEVICE void decode(const DecodeArguments& d) {
  using Shape = DecodeShape<columns, codes>;
  using Rows = Tile<columns>;
  using Codes = CodeTile<T, columns, Shape::keys, Shape::threads>;
  constexpr int k_steps = columns / 16;
  constexpr int output_tiles = columns / 8;
  const AttentionArguments& p = d.attention;
  GPU_SHARED(shared);

  const int split = block_x(), sequence = block_z();
  const int group = p.query_heads / p.key_heads;
  const int tiles_a_head = decode_tiles(p, Shape::rows);
  const int key_head = block_y() / tiles_a_head;
  const int token = p.query_starts[sequence];
  const int queries = p.query_starts[sequence + 1] - token;
  const int first = block_y() % tiles_a_head * Shape::rows, left = queries * group - first;
  if (left <= 0) return;
  const DecodeRows rows = {first, left < Shape::rows ? left : Shape::rows,  group, key_head * group,
                           token, p.context_lengths[sequence] - queries + 1};
  const RowView latest = RowView::of(p, rows.context_at(rows.count - 1));
  const int context = latest.context;
  const int begin = split * d.workspace.split_keys;
  // A sequence without keys still has an output.
  if (begin >= context && split > 0) return;
  const int end = begin + d.workspace.split_keys < context ? begin + d.workspace.split_keys : context;

  const ScoreRules rules = ScoreRules::of(p, context);
  const float log2_factor = rules.log2_factor();
  const auto walk = DecodeWalk<Shape::keys>::of(RowView::of(p, rows.context_at(0)), latest, begin, end);

  const T* query = static_cast<const T*>(p.query);
  const std::conditional_t<codes, CodeCacheHead, CacheHead<T>> cache(p, sequence, key_head);
  const SharedAddress query_tile = shared_address(shared);
  const SharedAddress first_stage = query_tile + Shape::query_bytes;
  [[maybe_unused]] float* key_scales = reinterpret_cast<float*>(shared + Shape::key_scales);

  auto copy_part = [&](SharedAddress target, int tile, const DecodeKeys& seen, CachePart part) {
    if constexpr (codes) {
      Codes::copy(query_tile + SharedAddress(part == CachePart::keys ? Shape::key_codes : Shape::value_codes),
                  cache, p.head_dimension, tile * Shape::keys, seen.begin, seen.end, part, query);
    } else {
      copy_tile<T, columns, Shape::keys, Shape::threads, Shape::lookups>(
          target, p.head_dimension, query,
          [&](int row) { return cache.row(tile * Shape::keys + row, seen.begin, seen.end, part); });
    }
  };
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tiles = [&](int step) {
    const SharedAddress keys = first_stage + SharedAddress(step % Shape::stages * 2 * Shape::part_bytes);
    if (step < walk.steps) {
      copy_part(keys, walk.tile(step), walk.keys(step), CachePart::keys);
      copy_part(keys + Shape::part_bytes, walk.tile(step), walk.keys(step), CachePart::values);
    }
    commit_copies();
  };
  auto widen_tiles = [&](int step) {
    const DecodeKeys seen = walk.keys(step);
    const int first = walk.tile(step) * Shape::keys;
    const bool is_float8 = p.codes == CacheCodes::float8;
    unsigned char* keys = shared + Shape::query_bytes;
    Codes::widen_keys(shared + Shape::key_codes, keys, key_scales, first, seen.begin, seen.end, is_float8);
    Codes::widen_values(shared + Shape::value_codes, keys + Shape::part_bytes, first, seen.begin, seen.end,
                        is_float8);
    sync_block();
  };
  auto copy_queries = [&](SharedAddress target, const T* source, int64_t stride) {
    copy_tile<T, columns, Shape::rows, Shape::threads, Shape::lookups>(
        target, p.head_dimension, source, [&](int row) {
          return row < rows.count
                     ? source + rows.token_at(row) * stride + rows.head_at(row) * p.head_dimension
                     : nullptr;
        });
  };

  copy_queries(query_tile, query, query_stride(p));
  if (walk.sink_tiles > 0) {
    copy_queries(query_tile + Shape::sink_query, static_cast<const T*>(p.sink_query), sink_query_stride(p));
  }
  copy_tiles(0);

  const int warp_key = warp_index() * 16;
  const int g = lane_index() / 4, q = lane_index() % 4;
  const LaneRow a_row = lane_row_of_a(), b_row = lane_row_of_b(), v_row = lane_row_of_b_transposed();
  // Of the lane's two rows; those past the last one see nothing.
  float slope[2] = {};
  RowView view[2] = {};
  GPU_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = g + 8 * half;
    if (row >= rows.count) continue;
    view[half] = RowView::of(p, rows.context_at(row));
    if (p.alibi_slopes) slope[half] = p.alibi_slopes[rows.head_at(row)];
  }
  float output[output_tiles][4] = {};
  RowState state;
  state.start();

  for (int step = 0; step < walk.steps; ++step) {
    // This tile has arrived, and every warp is done with the one whose place the next takes.
    wait_copies<0>();
    sync_block();
    if constexpr (codes) widen_tiles(step);
    copy_tiles(step + 1);

    const bool is_sink = walk.is_sink(step);
    const SharedAddress queries = query_tile + SharedAddress(is_sink ? Shape::sink_query : 0);
    const SharedAddress keys = first_stage + SharedAddress(step % Shape::stages * 2 * Shape::part_bytes);
    const SharedAddress values = keys + Shape::part_bytes;
    float score[2][4] = {};
    GPU_UNROLL
    for (int k = 0; k < k_steps; ++k) {
      uint32_t a[4], b[4];
      load_matrices(a, queries + Rows::offset(a_row.row, 2 * k + a_row.chunk));
      load_matrices(b, keys + Rows::offset(warp_key + b_row.row, 2 * k + b_row.chunk));
      mma_m16n8k16<T>(score[0], a, b[0], b[1]);
      mma_m16n8k16<T>(score[1], a, b[2], b[3]);
    }
    GPU_UNROLL
    for (int n = 0; n < 2; ++n) {
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = warp_key + 8 * n + 2 * q + i % 2;
        const int key = walk.tile(step) * Shape::keys + row;
        if constexpr (codes) score[n][i] *= key_scales[row];
        const RowView& seen = view[i / 2];
        const int position = is_sink ? p.sinks + p.window - 1 : seen.context - 1;
        if (!rules.plain()) score[n][i] = rules.apply(score[n][i], slope[i / 2], position, key);
        if (key < (is_sink ? 0 : seen.first) || key >= (is_sink ? seen.sink_end : seen.context)) {
          score[n][i] = negative_infinity();
        }
      }
    }
    state.update(score, output, log2_factor);
    const uint32_t weights[4] = {pack<T>(score[0][0], score[0][1]), pack<T>(score[0][2], score[0][3]),
                                 pack<T>(score[1][0], score[1][1]), pack<T>(score[1][2], score[1][3])};
    GPU_UNROLL
    for (int n = 0; n < output_tiles; n += 2) {
      uint32_t b[4];
      load_matrices_transposed(b, values + Rows::offset(warp_key + v_row.row, n + v_row.chunk));
      mma_m16n8k16<T>(output[n], weights, b[0], b[1]);
      mma_m16n8k16<T>(output[n + 1], weights, b[2], b[3]);
    }
  }

  state.finish();
  wait_copies<0>();
  sync_block();
  float* merge = reinterpret_cast<float*>(shared + Shape::query_bytes);
  float* largest = merge + Shape::warps * Shape::rows * columns;
  float* sums = largest + Shape::warps * Shape::rows;
  GPU_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int at = warp_index() * Shape::rows + g + 8 * half;
    if (q == 0) {
      largest[at] = state.largest[half];
      sums[at] = state.sum[half];
    }
    GPU_UNROLL
    for (int n = 0; n < output_tiles; ++n) {
      merge[at * columns + 8 * n + 2 * q] = output[n][2 * half];
      merge[at * columns + 8 * n + 2 * q + 1] = output[n][2 * half + 1];
    }
  }
  sync_block();
  write_merged<T, columns>(d, merge, rows, split, log2_factor);
}

}  // namespace gpu

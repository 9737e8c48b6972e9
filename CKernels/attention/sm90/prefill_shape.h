// Sizes of prefill attention with TMA and wgmma, and what each block of it works on.
#pragma once

#include "attention/arguments.h"
#include "device/device.h"

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
  /// The first key that some row sees, and the tiles of these keys.
  int key_begin, first_tile, tiles_end;

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
    r.key_begin = p.window > 0 && r.first_position - p.window + 1 > 0 ? r.first_position - p.window + 1 : 0;
    r.first_tile = r.key_begin / Shape::keys;
    r.tiles_end = (key_end + Shape::keys - 1) / Shape::keys;
    return r;
  }

  /// The last of `count` rows from `row` on that the sequence has.
  GPU_DEVICE int last_row(int row, int count) const {
    return row + count < queries ? row + count - 1 : queries - 1;
  }
};

}  // namespace gpu

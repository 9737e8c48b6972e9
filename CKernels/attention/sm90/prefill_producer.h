// The warp of prefill attention that brings queries, keys and values with TMA.
#pragma once

#include "attention/cache.h"
#include "attention/sm90/prefill_shape.h"

namespace gpu {

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

  /// Each lane brings one panel of one block. Blocks past the last key become zeros without being looked up,
  /// and so do those before the window, which may have been given away.
  GPU_DEVICE void bring(int tile, CachePart part, SharedAddress target, SharedAddress barrier) {
    const int lane = lane_index();
    if (lane >= Shape::boxes) return;
    const AttentionArguments& a = p_.attention;
    const int page = lane % Shape::pages, panel = lane / Shape::pages;
    const int position = tile * Shape::keys + page * kv_block_tokens;
    const bool present = position < range_.context && position + kv_block_tokens > range_.key_begin;
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

}  // namespace gpu

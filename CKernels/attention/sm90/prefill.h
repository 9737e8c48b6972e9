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

#include "attention/sm90/prefill_consumer.h"
#include "attention/sm90/prefill_producer.h"

namespace gpu {

template <class T, class Shape>
GPU_KERNEL(384, 1)
prefill_sm90_kernel(GPU_PARAMETER PrefillSm90Call p) {
  using Barrier = typename Shape::Barrier;
  GPU_SHARED(shared);
  const PrefillRange range = PrefillRange::of<Shape>(p.attention);
  if (range.first_row >= range.queries) return;
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

// Barriers of a block.
#pragma once

#include "device/platform.h"

namespace gpu {

/// All threads of the block arrive, and see what the others wrote before (PTX bar.sync 0).
GPU_DEVICE void sync_block(Site site = Site::here()) {
#if GPU_ON_DEVICE
  __syncthreads();
#else
  simt::sync_block(site);
#endif
}

/// Waits at barrier `id` (1 to 15) until `threads` threads, a multiple of 32, have arrived (PTX bar.sync).
/// The id is a template argument: ptxas reserves all sixteen barriers for one that is not a constant.
template <int id>
GPU_DEVICE void sync_named(int threads, Site site = Site::here()) {
  static_assert(id > 0 && id < 16, "barrier 0 is sync_block's, and there are sixteen");
#if GPU_ON_DEVICE
  asm volatile("bar.sync %0, %1;" ::"n"(id), "r"(threads) : "memory");
#else
  simt::named_barrier(id, threads, true, site);
#endif
}

/// Arrives at barrier `id` without waiting; counts among its `threads` (PTX bar.arrive).
template <int id>
GPU_DEVICE void arrive_named(int threads, Site site = Site::here()) {
  static_assert(id > 0 && id < 16, "barrier 0 is sync_block's, and there are sixteen");
#if GPU_ON_DEVICE
  asm volatile("bar.arrive %0, %1;" ::"n"(id), "r"(threads) : "memory");
#else
  simt::named_barrier(id, threads, false, site);
#endif
}

}  // namespace gpu

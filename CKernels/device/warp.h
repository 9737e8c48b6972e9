// What the lanes of a warp do together: shuffles, votes, and the barrier that orders their memory accesses.
//
// Only `sync_warp` orders memory. A shuffle or a vote exchanges registers and promises nothing about shared
// memory.
#pragma once

#include "device/bits.h"

namespace gpu {

/// All lanes of `mask` arrive, and see what the others wrote before (PTX bar.warp.sync).
GPU_DEVICE void sync_warp(uint32_t mask = full_mask, Site site = Site::here()) {
#if GPU_ON_DEVICE
  __syncwarp(mask);
#else
  simt::sync_warp(mask, site);
#endif
}

/// The value of lane `source` (PTX shfl.sync.idx); `source` is taken modulo 32.
GPU_DEVICE uint32_t shuffle(uint32_t value, int source, uint32_t mask = full_mask, Site site = Site::here()) {
#if GPU_ON_DEVICE
  return __shfl_sync(mask, value, source);
#else
  return simt::shuffle(simt::Shuffle::index, value, source, mask, site);
#endif
}

/// The value of lane `own ^ distance` (PTX shfl.sync.bfly).
GPU_DEVICE uint32_t shuffle_xor(uint32_t value, int distance, uint32_t mask = full_mask,
                                Site site = Site::here()) {
#if GPU_ON_DEVICE
  return __shfl_xor_sync(mask, value, distance);
#else
  return simt::shuffle(simt::Shuffle::exclusive_or, value, distance, mask, site);
#endif
}

/// The value of lane `own - distance`, or one's own where there is none (PTX shfl.sync.up).
GPU_DEVICE uint32_t shuffle_up(uint32_t value, int distance, uint32_t mask = full_mask,
                               Site site = Site::here()) {
#if GPU_ON_DEVICE
  return __shfl_up_sync(mask, value, distance);
#else
  return simt::shuffle(simt::Shuffle::up, value, distance, mask, site);
#endif
}

/// The value of lane `own + distance`, or one's own where there is none (PTX shfl.sync.down).
GPU_DEVICE uint32_t shuffle_down(uint32_t value, int distance, uint32_t mask = full_mask,
                                 Site site = Site::here()) {
#if GPU_ON_DEVICE
  return __shfl_down_sync(mask, value, distance);
#else
  return simt::shuffle(simt::Shuffle::down, value, distance, mask, site);
#endif
}

GPU_DEVICE float shuffle(float value, int source, uint32_t mask = full_mask, Site site = Site::here()) {
  return float_of(shuffle(bits_of(value), source, mask, site));
}

GPU_DEVICE float shuffle_xor(float value, int distance, uint32_t mask = full_mask, Site site = Site::here()) {
  return float_of(shuffle_xor(bits_of(value), distance, mask, site));
}

/// One bit a lane of `mask`: whether its `predicate` holds (PTX vote.sync.ballot).
GPU_DEVICE uint32_t ballot(bool predicate, uint32_t mask = full_mask, Site site = Site::here()) {
#if GPU_ON_DEVICE
  return __ballot_sync(mask, predicate);
#else
  return simt::ballot(predicate, mask, site);
#endif
}

/// True in one lane of the warp, always the same one of a kernel, which need not be the first (PTX
/// elect.sync).
GPU_DEVICE bool elect_one(Site site = Site::here()) {
#if GPU_ON_DEVICE
  uint32_t elected;
  asm volatile(
      "{\n"
      ".reg .pred elected;\n"
      "elect.sync _|elected, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, elected;\n"
      "}"
      : "=r"(elected));
  return elected != 0;
#else
  return simt::elect_one(site);
#endif
}

/// The sum over `width` neighbouring lanes (a power of two), the same bits in each of them.
template <int width = warp_size>
GPU_DEVICE float warp_sum(float value, Site site = Site::here()) {
  GPU_UNROLL
  for (int distance = width / 2; distance > 0; distance /= 2) {
    value += shuffle_xor(value, distance, full_mask, site);
  }
  return value;
}

template <int width = warp_size>
GPU_DEVICE float warp_max(float value, Site site = Site::here()) {
  GPU_UNROLL
  for (int distance = width / 2; distance > 0; distance /= 2) {
    float other = shuffle_xor(value, distance, full_mask, site);
    value = value > other ? value : other;
  }
  return value;
}

}  // namespace gpu

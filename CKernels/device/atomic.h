// Additions to shared memory that several threads make at the same time.
//
// Integers only: their sums do not depend on the order. Nothing else is ordered by them; a barrier must come
// before the sum is read.
#pragma once

#include "device/platform.h"

namespace gpu {

/// Returns the value before.
GPU_DEVICE uint32_t add_atomically(uint32_t* shared, uint32_t value, Site site = Site::here()) {
#if GPU_ON_DEVICE
  return atomicAdd(shared, value);
#else
  return uint32_t(simt::add_atomically(shared, 4, value, site));
#endif
}

GPU_DEVICE uint64_t add_atomically(uint64_t* shared, uint64_t value, Site site = Site::here()) {
#if GPU_ON_DEVICE
  static_assert(sizeof(unsigned long long) == 8);
  return atomicAdd(reinterpret_cast<unsigned long long*>(shared), static_cast<unsigned long long>(value));
#else
  return simt::add_atomically(shared, 8, value, site);
#endif
}

}  // namespace gpu

// Shared memory: one dynamic array a block, whose size the launch gives.
//
// Raw __shared__ variables are not used: on the host they could be neither poisoned nor bounded. The base is
// aligned to 16 bytes and no more, as on the device; a kernel that needs more aligns for itself.
#pragma once

#include "device/platform.h"

#if GPU_ON_DEVICE
#define GPU_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#define GPU_SHARED(name) unsigned char* const name = gpu::simt::shared_memory()
#endif

namespace gpu {

/// The 32-bit address that ldmatrix, cp.async and their like take.
using SharedAddress = uint32_t;

GPU_DEVICE SharedAddress shared_address(const void* pointer, Site site = Site::here()) {
#if GPU_ON_DEVICE
  return SharedAddress(__cvta_generic_to_shared(pointer));
#else
  return simt::shared_address(pointer, site);
#endif
}

}  // namespace gpu

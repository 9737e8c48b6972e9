// Between the generic and the asynchronous proxy (PTX ISA, "Proxies"; sm_90).
//
// Plain loads and stores, ldmatrix and cp.async go through the generic proxy. Bulk copies, tensor maps and
// wgmma read and write shared memory through another way, the asynchronous proxy, and barriers alone order
// nothing between the two.
#pragma once

#include "device/platform.h"

namespace gpu {

/// Makes what the calling thread wrote to shared memory visible to the asynchronous proxy. The writers call
/// it, each for itself; then a barrier; then one thread starts the copy or the product (PTX
/// fence.proxy.async.shared::cta).
GPU_DEVICE void fence_async_proxy(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  simt::fence_async_proxy(site);
#endif
}

}  // namespace gpu

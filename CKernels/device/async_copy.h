// Copies from global to shared memory that do not pass through registers (PTX ISA, cp.async; sm_80).
//
// A thread issues copies, closes them into a group, and waits for its groups in order. Waiting makes the data
// visible to the waiting thread only: a barrier must follow before others read it. Between issue and wait
// nobody may touch the destination.
#pragma once

#include "device/shared.h"

namespace gpu {

/// Copies `valid` bytes (0 to 16) from `source` and fills the rest of the 16 with zeros. Both addresses are
/// multiples of 16; with `valid` 0 the source is not read. Bypasses L1 (.cg), and asks L2 for the whole
/// 128-byte line.
GPU_DEVICE void copy_async(SharedAddress destination, const void* source, int valid = 16,
                           Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(destination),
               "l"(__cvta_generic_to_global(source)), "r"(valid)
               : "memory");
#else
  simt::copy_async(destination, source, valid, site);
#endif
}

/// Closes the copies issued since the last call into a group; an empty group counts too.
GPU_DEVICE void commit_copies(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::commit_copies(site);
#endif
}

/// Waits until at most `pending` of this thread's latest groups are unfinished.
template <int pending>
GPU_DEVICE void wait_copies(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
  simt::wait_copies(pending, site);
#endif
}

}  // namespace gpu

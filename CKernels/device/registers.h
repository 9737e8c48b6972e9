// Moving registers from one warpgroup to another (PTX ISA, setmaxnreg; sm_90a).
//
// A kernel starts with the same number for each thread. A warpgroup that only issues copies gives most of its
// own away, and those that compute take them. All four warps of a warpgroup call the same. `count` is a
// multiple of 8 from 24 to 256, and what all warpgroups hold must not exceed what the kernel started with:
//
//   384 threads start with 168 each:  168 · 384  =  24 · 128 + 240 · 256  =  40 · 128 + 232 · 256
#pragma once

#include "device/platform.h"

namespace gpu {

/// Gives registers away (PTX setmaxnreg.dec).
template <int count>
GPU_DEVICE void give_registers(Site site = Site::here()) {
  static_assert(count % 8 == 0 && count >= 24 && count <= 256, "a multiple of 8 from 24 to 256");
#if GPU_ON_DEVICE
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
#else
  simt::set_registers(count, false, site);
#endif
}

/// Waits until so many are free, and takes them (PTX setmaxnreg.inc).
template <int count>
GPU_DEVICE void take_registers(Site site = Site::here()) {
  static_assert(count % 8 == 0 && count >= 24 && count <= 256, "a multiple of 8 from 24 to 256");
#if GPU_ON_DEVICE
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
#else
  simt::set_registers(count, true, site);
#endif
}

}  // namespace gpu

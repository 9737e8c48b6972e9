// Which of the two worlds a kernel source is being built for: nvcc (a GPU), or a C++ compiler (SIMT
// emulation).
//
// A kernel includes "device/device.h" and nothing else of either world. Every hardware primitive is one
// function with a PTX body and a host body side by side; the host bodies are declared in simt/primitives.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define GPU_ON_DEVICE 1
#include <cuda_runtime.h>

#define GPU_DEVICE __device__ __forceinline__
#define GPU_DEVICE_OR_HOST __host__ __device__ __forceinline__

/// Heads a kernel: `template <...> GPU_KERNEL(threads, blocks) name(Parameters p)`. `blocks` per
/// multiprocessor must be said: without it ptxas aims at more than the kernel needs and spills registers.
#define GPU_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)

/// Before the parameter struct of a kernel that holds tensor maps: their address may be taken.
#define GPU_PARAMETER const __grid_constant__

/// Before a loop whose arrays must become registers.
#define GPU_UNROLL _Pragma("unroll")
/// Before a loop of which `unrolled`, a constant in scope, rounds should be in flight, and not more: each
/// costs registers.
#define GPU_UNROLL_SOME _Pragma("unroll (unrolled)")
#else
#define GPU_ON_DEVICE 0
#define GPU_DEVICE inline
#define GPU_DEVICE_OR_HOST inline
#define GPU_KERNEL(threads, blocks) void
#define GPU_PARAMETER const
#define GPU_UNROLL
#define GPU_UNROLL_SOME
#endif

namespace gpu {

/// Where a primitive was called. A defaulted last argument of each primitive, so that a fault of the
/// emulation names the kernel's own line; empty on the device.
#if GPU_ON_DEVICE
struct Site {
  GPU_DEVICE static constexpr Site here() { return {}; }
};
#else
struct Site {
  const char* file;
  int line;

  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};
#endif

constexpr int warp_size = 32;
constexpr uint32_t full_mask = 0xffffffffu;

}  // namespace gpu

#if !GPU_ON_DEVICE
#include "simt/primitives.h"
#endif

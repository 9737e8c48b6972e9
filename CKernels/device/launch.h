// Starts a kernel on a stream, in both worlds.
//
// `<<<...>>>` is not C++, so kernels are launched through this function. A kernel takes one parameter struct
// by value.
#pragma once

#include "device/platform.h"

namespace gpu {

struct Grid {
  int x = 1;
  int y = 1;
  int z = 1;
};

struct LaunchShape {
  Grid grid;
  /// Threads of a block, a multiple of 32, at most 1024.
  int threads = 32;
  /// Bytes of dynamic shared memory.
  int shared_bytes = 0;
};

/// 0, or the error code of the runtime: `cudaError_t`, or 1 when the emulation found a fault (its text lies
/// in the stream).
using Status = int;

/// What a launcher returns for a shape that it has no kernel for: cudaErrorInvalidValue.
constexpr Status invalid_arguments = 1;

#if GPU_ON_DEVICE

using Stream = cudaStream_t;

/// Multiprocessors of the current device, for kernels whose blocks stay and take several tiles; 1 if that
/// cannot be found out.
inline int multiprocessor_count(Stream) {
  int device = 0, count = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return error == cudaSuccess && count > 0 ? count : 1;
}

template <class Parameters>
Status launch(Stream stream, const char*, const LaunchShape& shape, void (*kernel)(Parameters),
              const Parameters& parameters) {
  constexpr int always_allowed = 48 * 1024;
  if (shape.shared_bytes > always_allowed) {
    cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                             cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t configuration = {};
  configuration.gridDim = dim3(shape.grid.x, shape.grid.y, shape.grid.z);
  configuration.blockDim = dim3(shape.threads);
  configuration.dynamicSmemBytes = shape.shared_bytes;
  configuration.stream = stream;
  return cudaLaunchKernelEx(&configuration, kernel, parameters);
}

#else

/// Options, fault and statistics of emulated launches: simt/stream.h.
using Stream = simt::Stream*;

inline int multiprocessor_count(Stream stream) { return simt::multiprocessor_count(stream); }

// Whether this translation unit reports its plain loads and stores to the checker.
#if defined(__SANITIZE_THREAD__)
constexpr bool reports_accesses = true;
#elif defined(__has_feature)
constexpr bool reports_accesses = __has_feature(thread_sanitizer);
#else
constexpr bool reports_accesses = false;
#endif

template <class Parameters>
Status launch(Stream stream, const char* name, const LaunchShape& shape, void (*kernel)(Parameters),
              const Parameters& parameters) {
  struct Call {
    void (*kernel)(Parameters);
    Parameters parameters;
  } call{kernel, parameters};
  simt::Launch request;
  request.name = name;
  request.grid[0] = shape.grid.x;
  request.grid[1] = shape.grid.y;
  request.grid[2] = shape.grid.z;
  request.threads = shape.threads;
  request.shared_bytes = shape.shared_bytes;
  request.reports_accesses = reports_accesses;
  request.kernel = reinterpret_cast<void (*)()>(kernel);
  request.arguments = &call;
  request.argument_bytes = sizeof call;
  request.entry = [](const void* arguments) {
    const Call& call = *static_cast<const Call*>(arguments);
    call.kernel(call.parameters);
  };
  return simt::run(stream, request);
}

#endif

}  // namespace gpu

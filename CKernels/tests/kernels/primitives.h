// Kernels of the emulator's own tests. The primitives' maps are compared by the probes of conformance/.
#pragma once

#include <cstdint>

#include "device/launch.h"

namespace gpu::test {

/// Loads a 16 x 16 matrix of 16-bit elements that lies in shared memory with `pitch` bytes a row; registers
/// [32][4].
struct LoadArguments {
  const uint16_t* matrix;
  int pitch;
  bool transposed;
  uint32_t* registers;
};
Status load(Stream stream, const LoadArguments& arguments);

}  // namespace gpu::test

// Global memory of the emulated device: known allocations between guard bands.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gpu::simt {

struct Allocation {
  unsigned char* start;
  size_t bytes;
  std::string name;
};

/// All functions may be called from any thread, but not while a kernel runs on the memory they release.
class DeviceMemory {
 public:
  /// Aligned to 256 bytes as cudaMalloc's, and filled with 0xff: NaN as bf16, f16 and float. `name` is for
  /// messages.
  static void* allocate(size_t bytes, const std::string& name);
  static void release(void* start);

  /// Allocations in order of address.
  static std::vector<Allocation> allocations();

  /// Says which guard band has been written to, or nothing. The band is mended, so that a fault is told once.
  static std::string damage();
};

}  // namespace gpu::simt

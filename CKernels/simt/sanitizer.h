// Tells the address sanitizer, where there is one, which of our own memory may not be touched.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define GPU_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GPU_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef GPU_ADDRESS_SANITIZER
#define GPU_ADDRESS_SANITIZER 0
#endif

#if GPU_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace gpu::simt {

inline void forbid_access([[maybe_unused]] void* start, [[maybe_unused]] size_t bytes) {
#if GPU_ADDRESS_SANITIZER
  __asan_poison_memory_region(start, bytes);
#endif
}

inline void permit_access([[maybe_unused]] void* start, [[maybe_unused]] size_t bytes) {
#if GPU_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(start, bytes);
#endif
}

}  // namespace gpu::simt

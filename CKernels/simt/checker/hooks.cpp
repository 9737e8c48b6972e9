// The entry points that -fsanitize=thread puts before each plain load and store.
//
// Kernels are compiled with that option but not linked with its runtime: these functions take its place and
// tell the checker. Where the real thread sanitizer is at work this file is empty.

#include "device/platform.h"

#if defined(__SANITIZE_THREAD__)
#define GPU_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GPU_THREAD_SANITIZER 1
#endif
#endif

#if !GPU_THREAD_SANITIZER

#include <cstring>

#include "simt/block.h"
#include "simt/checker/checker.h"

namespace {

void report(const void* address, size_t bytes, bool write, const void* return_address, size_t alignment = 1) {
  gpu::simt::Block* block = gpu::simt::active_block();
  if (!block || !block->checker || bytes == 0) return;
  // A GPU refuses what x86-64 allows.
  if (reinterpret_cast<uintptr_t>(address) % alignment != 0) {
    block->fail(gpu::simt::Place::of_code(return_address), "%s of %zu bytes at the misaligned address %p",
                write ? "write" : "read", bytes, address);
  }
  block->checker->access(*block, address, int(bytes), write, gpu::simt::Place::of_code(return_address));
}

}  // namespace

#define GPU_HOOK(name, bytes, write, alignment) \
  void __tsan_##name(void* address) { report(address, bytes, write, __builtin_return_address(0), alignment); }
#define GPU_HOOKS(bytes)                              \
  GPU_HOOK(read##bytes, bytes, false, bytes)          \
  GPU_HOOK(write##bytes, bytes, true, bytes)          \
  GPU_HOOK(volatile_read##bytes, bytes, false, bytes) \
  GPU_HOOK(volatile_write##bytes, bytes, true, bytes)
#define GPU_UNALIGNED_HOOKS(bytes)                          \
  GPU_HOOK(unaligned_read##bytes, bytes, false, 1)          \
  GPU_HOOK(unaligned_write##bytes, bytes, true, 1)          \
  GPU_HOOK(unaligned_volatile_read##bytes, bytes, false, 1) \
  GPU_HOOK(unaligned_volatile_write##bytes, bytes, true, 1)

extern "C" {
GPU_HOOKS(1)
GPU_HOOKS(2)
GPU_HOOKS(4)
GPU_HOOKS(8)
GPU_HOOKS(16)
GPU_UNALIGNED_HOOKS(2)
GPU_UNALIGNED_HOOKS(4)
GPU_UNALIGNED_HOOKS(8)
GPU_UNALIGNED_HOOKS(16)

void __tsan_read_range(void* address, size_t bytes) {
  report(address, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void* address, size_t bytes) {
  report(address, bytes, true, __builtin_return_address(0));
}
void* __tsan_memcpy(void* target, const void* source, size_t bytes) {
  report(source, bytes, false, __builtin_return_address(0));
  report(target, bytes, true, __builtin_return_address(0));
  return std::memcpy(target, source, bytes);
}
void* __tsan_memmove(void* target, const void* source, size_t bytes) {
  report(source, bytes, false, __builtin_return_address(0));
  report(target, bytes, true, __builtin_return_address(0));
  return std::memmove(target, source, bytes);
}
void* __tsan_memset(void* target, int value, size_t bytes) {
  report(target, bytes, true, __builtin_return_address(0));
  return std::memset(target, value, bytes);
}

// Nothing to do: these would keep the sanitizer's own call stack.
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}

#endif

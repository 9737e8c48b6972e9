#include "simt/shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "simt/block.h"
#include "simt/sanitizer.h"

namespace gpu::simt {

SharedMemory::SharedMemory(int size) : size_(size) {
  arena_size_ = (base + uint64_t(size) + 2047) / 1024 * 1024;
  arena_ = static_cast<unsigned char*>(std::aligned_alloc(1024, arena_size_));
  if (!arena_) throw std::bad_alloc();
  forbid_access(arena_, base);
  forbid_access(arena_ + base + size, arena_size_ - base - uint64_t(size));
}

SharedMemory::~SharedMemory() {
  permit_access(arena_, arena_size_);
  std::free(arena_);
}

void SharedMemory::poison() { std::memset(data(), 0xff, size_t(size_)); }

unsigned char* shared_memory() { return this_block().shared.data(); }

uint32_t shared_address(const void* pointer, Site site) {
  Block& block = this_block();
  // One past the end is an address too.
  if (!block.shared.holds(pointer)) block.fail(site, "%p is not an address in shared memory", pointer);
  return block.shared.address_of(pointer);
}

}  // namespace gpu::simt

// A block's dynamic shared memory: exact size, poisoned, misaligned, and addressed by 32-bit offsets.
#pragma once

#include <cstdint>

namespace gpu::simt {

/// ```
///  arena (1024-aligned)      base = 1024 + 16                 base + size
///  | never accessible ...... | dynamic shared memory ......... | never accessible |
///  ^ address 0                ^ address 1040
/// ```
/// The base is aligned to 16 bytes only, so that a kernel which needs more and forgets to align is found out.
class SharedMemory {
 public:
  static constexpr uint32_t base = 1024 + 16;
  /// What sm_90 offers a block; sm_80 has 163 KiB and sm_89 99 KiB.
  static constexpr int largest = 227 * 1024;

  explicit SharedMemory(int size);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  /// Fills it with 0xff: NaN as bf16, f16 and float.
  void poison();

  int size() const { return size_; }
  unsigned char* data() { return arena_ + base; }
  unsigned char* at(uint32_t address) { return arena_ + address; }

  /// Whether `address` lies in the arena, accessible or not.
  bool holds(const void* address) const {
    auto* byte = static_cast<const unsigned char*>(address);
    return byte >= arena_ && byte < arena_ + arena_size_;
  }
  uint32_t address_of(const void* pointer) const {
    return uint32_t(static_cast<const unsigned char*>(pointer) - arena_);
  }
  bool contains(uint32_t address, int bytes) const {
    return address >= base && uint64_t(address) + uint64_t(bytes) <= base + uint64_t(size_);
  }

 private:
  unsigned char* arena_;
  int size_;
  uint64_t arena_size_;
};

}  // namespace gpu::simt

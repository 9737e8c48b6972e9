#include "simt/device_memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "simt/sanitizer.h"

namespace gpu::simt {
namespace {

// | guard | data, from a multiple of 256 | guard |
constexpr size_t guard_bytes = 512;
constexpr unsigned char guard_pattern = 0xa5;

struct Registry {
  std::mutex mutex;
  std::map<unsigned char*, Allocation> allocations;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

size_t total_bytes(size_t bytes) { return (bytes + 2 * guard_bytes + 255) / 256 * 256; }

/// Whether a band still holds its pattern; mends it.
bool mend(unsigned char* band, size_t bytes) {
  bool intact = true;
  for (size_t i = 0; i < bytes; ++i) {
    intact &= band[i] == guard_pattern;
    band[i] = guard_pattern;
  }
  return intact;
}

}  // namespace

void* DeviceMemory::allocate(size_t bytes, const std::string& name) {
  size_t total = total_bytes(bytes);
  auto* memory = static_cast<unsigned char*>(std::aligned_alloc(256, total));
  if (!memory) throw std::bad_alloc();
  unsigned char* start = memory + guard_bytes;
  std::memset(memory, guard_pattern, total);
  std::memset(start, 0xff, bytes);
  forbid_access(memory, guard_bytes);
  forbid_access(start + bytes, total - guard_bytes - bytes);
  Registry& known = registry();
  std::lock_guard lock(known.mutex);
  known.allocations[start] = {start, bytes, name};
  return start;
}

void DeviceMemory::release(void* start) {
  if (!start) return;
  Registry& known = registry();
  std::lock_guard lock(known.mutex);
  auto found = known.allocations.find(static_cast<unsigned char*>(start));
  if (found == known.allocations.end()) return;
  unsigned char* memory = found->first - guard_bytes;
  permit_access(memory, total_bytes(found->second.bytes));
  known.allocations.erase(found);
  std::free(memory);
}

std::vector<Allocation> DeviceMemory::allocations() {
  Registry& known = registry();
  std::lock_guard lock(known.mutex);
  std::vector<Allocation> result;
  for (const auto& [start, allocation] : known.allocations) result.push_back(allocation);
  return result;
}

std::string DeviceMemory::damage() {
  if (GPU_ADDRESS_SANITIZER) return {};  // which reports such a write when it happens
  Registry& known = registry();
  std::lock_guard lock(known.mutex);
  std::string text;
  for (const auto& [start, allocation] : known.allocations) {
    unsigned char* end = start + allocation.bytes;
    size_t after = total_bytes(allocation.bytes) - guard_bytes - allocation.bytes;
    bool intact_before = mend(start - guard_bytes, guard_bytes);
    bool intact_after = mend(end, after);
    if (text.empty() && !intact_before) text = "wrote in front of device memory '" + allocation.name + "'";
    if (text.empty() && !intact_after) text = "wrote past the end of device memory '" + allocation.name + "'";
  }
  return text;
}

}  // namespace gpu::simt

// Atomic additions to shared memory. A thread of the emulation is suspended at other primitives only, so the
// addition itself needs nothing special; the checker must know that such additions do not race.

#include <cstring>

#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {

uint64_t add_atomically(void* target, int bytes, uint64_t value, Site site) {
  Block& block = this_block();
  if (!block.shared.holds(target)) {
    block.fail(site, "atomic addition at %p, which is not in shared memory", target);
  }
  const uint32_t address = block.shared.address_of(target);
  if (address % uint32_t(bytes) != 0 || !block.shared.contains(address, bytes)) {
    block.fail(
        site,
        "atomic addition of %d bytes at shared offset %lld, misaligned or outside of the block's %d bytes",
        bytes, static_cast<long long>(address) - SharedMemory::base, block.shared.size());
  }
  if (block.checker) block.checker->add_atomically(block, address, bytes, site);
  uint64_t before = 0;
  std::memcpy(&before, target, size_t(bytes));
  const uint64_t after = before + value;
  std::memcpy(target, &after, size_t(bytes));
  return before;
}

}  // namespace gpu::simt

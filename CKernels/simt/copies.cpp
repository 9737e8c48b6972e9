// cp.async: as early or as late as the PTX ISA allows.

#include "simt/copies.h"

#include <cstring>

#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {
namespace {

constexpr int copy_bytes = 16;

void perform(Block& block, const PendingCopy& copy) {
  unsigned char* destination = block.shared.at(copy.destination);
  std::memset(destination, 0, copy_bytes);
  if (copy.valid > 0) std::memcpy(destination, copy.source, size_t(copy.valid));
}

}  // namespace

void copy_async(uint32_t destination, const void* source, int valid, Site site) {
  Block& block = this_block();
  Thread& self = block.running();
  self.site = site;
  if (valid < 0 || valid > copy_bytes)
    block.fail(site, "asynchronous copy of %d bytes: 0 to 16 are possible", valid);
  if (destination % copy_bytes != 0) {
    block.fail(site, "asynchronous copy to shared address %u, which is not a multiple of 16", destination);
  }
  if (!block.shared.contains(destination, copy_bytes)) {
    block.fail(site, "asynchronous copy to shared address %u (offset %lld), outside of the block's %d bytes",
               destination, static_cast<long long>(destination) - SharedMemory::base, block.shared.size());
  }
  if (reinterpret_cast<uintptr_t>(source) % copy_bytes != 0) {
    block.fail(site, "asynchronous copy from %p, which is not a multiple of 16", source);
  }
  if (block.checker) {
    if (valid > 0) block.checker->access_global(block, source, valid, false, site);
    block.checker->begin_copy(block, destination, copy_bytes, site);
  }
  bool deferred = block.options.timing == AsyncTiming::lazy ||
                  (block.options.timing == AsyncTiming::random && block.random.below(2) == 0);
  self.copies.copies.push_back({destination, source, valid, deferred, site});
  if (deferred) {
    std::memset(block.shared.at(destination), 0xff, copy_bytes);
  } else {
    perform(block, self.copies.copies.back());
  }
}

void commit_copies(Site site) {
  Thread& self = this_block().running();
  self.site = site;
  self.copies.group_ends.push_back(self.copies.copies.size());
}

void wait_copies(int pending, Site site) {
  Block& block = this_block();
  CopyQueue& queue = block.running().copies;
  block.running().site = site;
  if (int(queue.group_ends.size()) <= pending) return;
  size_t groups = queue.group_ends.size() - size_t(pending);
  size_t count = queue.group_ends[groups - 1];
  for (size_t i = 0; i < count; ++i) {
    const PendingCopy& copy = queue.copies[i];
    if (copy.deferred) perform(block, copy);
    if (block.checker) block.checker->end_copy(block, copy.destination, copy_bytes, site);
  }
  queue.copies.erase(queue.copies.begin(), queue.copies.begin() + std::ptrdiff_t(count));
  queue.group_ends.erase(queue.group_ends.begin(), queue.group_ends.begin() + std::ptrdiff_t(groups));
  for (size_t& end : queue.group_ends) end -= count;
}

}  // namespace gpu::simt

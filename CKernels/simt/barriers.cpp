// The sixteen barriers of a block.

#include <cstring>

#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {

void Barrier::reset() {
  expected = 0;
  arrived = 0;
  waiting.clear();
  std::memset(lanes, 0, sizeof lanes);
  clock.clear();
}

void Block::arrive(int id, int expected, bool waits, Site site) {
  Thread& self = *running_;
  Barrier& barrier = barriers_[id];
  self.site = site;
  if (id == 0 && alive_ != launch.threads) {
    fail(site, "%d threads have left the kernel and will never come to this barrier",
         launch.threads - alive_);
  }
  if (barrier.arrived == 0) barrier.expected = expected;
  if (barrier.expected != expected) {
    fail(site, "barrier %d for %d threads, while others wait at it for %d", id, expected, barrier.expected);
  }
  uint32_t& lanes = barrier.lanes[self.warp()];
  Site& first = barrier.sites[self.warp()];
  if (lanes & self.bit()) fail(site, "the thread arrives twice at barrier %d in one phase", id);
  if (lanes && first.line != site.line) {
    fail_against(site, first, "divergent barrier: lanes 0x%08x of this warp came to barrier %d", lanes, id);
  }
  first = site;
  lanes |= self.bit();
  barrier.arrived += 1;
  if (checker) checker->release(self.index, barrier.clock);

  if (barrier.arrived < barrier.expected) {
    if (!waits) return;
    barrier.waiting.push_back(self.index);
    return park(id == 0 ? "sync_block" : "named barrier", site);
  }
  if (waits) barrier.waiting.push_back(self.index);
  for (int index : barrier.waiting) {
    Thread& other = thread(index);
    if (checker) checker->acquire(index, barrier.clock);
    scheduler_.add(other.warp(), other.bit());
  }
  barrier.reset();
}

void sync_block(Site site) {
  Block& block = this_block();
  block.arrive(0, block.launch.threads, true, site);
}

void named_barrier(int id, int threads, bool waits, Site site) {
  Block& block = this_block();
  if (threads <= 0 || threads % warp_size != 0 || threads > block.launch.threads) {
    block.fail(site, "named barrier for %d threads: a multiple of 32 up to the block's %d is needed", threads,
               block.launch.threads);
  }
  block.arrive(id, threads, waits, site);
}

}  // namespace gpu::simt

#include "simt/scheduler.h"

namespace gpu::simt {
namespace {

int lowest(uint32_t mask) { return __builtin_ctz(mask); }
int highest(uint32_t mask) { return 31 - __builtin_clz(mask); }

/// The bits of `mask` above bit `position`.
uint32_t above(uint32_t mask, int position) { return position >= 31 ? 0 : mask & (~0u << (position + 1)); }

int chosen(uint32_t mask, Random& random) {
  for (uint32_t skip = random.below(uint32_t(__builtin_popcount(mask))); skip > 0; --skip) mask &= mask - 1;
  return lowest(mask);
}

}  // namespace

int Scheduler::pick() {
  if (!ready_) return -1;
  switch (schedule_) {
    case Schedule::round_robin:
      return pick_in_turn();
    case Schedule::ascending: {
      int warp = lowest(ready_);
      return 32 * warp + lowest(runnable_[warp]);
    }
    case Schedule::descending: {
      int warp = highest(ready_);
      return 32 * warp + highest(runnable_[warp]);
    }
    case Schedule::random:
      return pick_at_random();
  }
  return -1;
}

int Scheduler::pick_in_turn() {
  int warp = last_ < 0 ? 0 : last_ / 32;
  uint32_t later = last_ < 0 ? runnable_[0] : above(runnable_[warp], last_ % 32);
  if (!later) {
    uint32_t later_warps = above(ready_, warp);
    warp = lowest(later_warps ? later_warps : ready_);
    later = runnable_[warp];
  }
  last_ = 32 * warp + lowest(later);
  return last_;
}

int Scheduler::pick_at_random() {
  int warp = chosen(ready_, random_);
  return 32 * warp + chosen(runnable_[warp], random_);
}

}  // namespace gpu::simt

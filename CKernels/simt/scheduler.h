// Which thread of a block runs next.
#pragma once

#include <cstdint>

#include "simt/random.h"
#include "simt/stream.h"

namespace gpu::simt {

/// The set of runnable threads of a block of at most 32 warps, as bit masks.
class Scheduler {
 public:
  Scheduler(Schedule schedule, uint64_t seed) : schedule_(schedule), random_(seed) {}

  void add(int warp, uint32_t lanes) {
    runnable_[warp] |= lanes;
    if (runnable_[warp]) ready_ |= 1u << warp;
  }
  void remove(int warp, uint32_t lanes) {
    runnable_[warp] &= ~lanes;
    if (!runnable_[warp]) ready_ &= ~(1u << warp);
  }

  /// The index of the thread to run, or -1 when none can.
  int pick();

 private:
  int pick_in_turn();
  int pick_at_random();

  Schedule schedule_;
  Random random_;
  uint32_t ready_ = 0;
  uint32_t runnable_[32] = {};
  int last_ = -1;
};

}  // namespace gpu::simt

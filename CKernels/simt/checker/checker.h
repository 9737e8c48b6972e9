// The checker: watches every load and store of a kernel that was built with its hooks (hooks.cpp).
//
// What a thread does is ordered with what others do by sync_warp and the barriers only. Shuffles, votes,
// ldmatrix and mma exchange registers; they promise nothing about memory.
#pragma once

#include <vector>

#include "simt/checker/clock.h"
#include "simt/checker/global_shadow.h"
#include "simt/checker/shared_shadow.h"
#include "simt/place.h"

namespace gpu::simt {

class Checker {
 public:
  explicit Checker(const Launch& launch) : launch_(launch) {}

  void begin_block(Block& block);

  /// Any load or store of the running thread, made by an instruction that needs `alignment`.
  void access(Block& block, const void* address, int bytes, int alignment, bool write, Place place);
  /// One that is known to be to shared memory, at a 32-bit address within bounds; or to global memory.
  void access_shared(Block& block, uint32_t address, int bytes, bool write, Place place);
  void access_global(Block& block, const void* address, int bytes, bool write, Place place);
  /// An atomic addition, to an address within bounds.
  void add_atomically(Block& block, uint32_t address, int bytes, Place place);
  void begin_copy(Block& block, uint32_t address, int bytes, Place place);
  void end_copy(Block& block, uint32_t address, int bytes, Place place);

  /// `thread` publishes what it has done and seen in `clock`, and `acquire` learns it.
  void release(int thread, Clock& clock);
  void acquire(int thread, const Clock& clock);
  void order_lanes(int warp, uint32_t lanes);

 private:
  const Launch& launch_;
  std::vector<Clock> clocks_;
  SharedShadow shared_;
  GlobalShadow global_;
};

}  // namespace gpu::simt

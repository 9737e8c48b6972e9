// What the checker knows about global memory during one launch.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/device_memory.h"
#include "simt/place.h"

namespace gpu::simt {

class Block;

/// Finds accesses outside of every allocation, and blocks that touch what another block writes: nothing
/// orders the blocks of a launch.
class GlobalShadow {
 public:
  GlobalShadow();

  /// False when the address lies neither in nor near an allocation; else checks, and calls `block.fail` on a
  /// fault.
  bool access(Block& block, const void* address, int bytes, bool write, Place place);

 private:
  static constexpr size_t granule = 2;
  /// An access this close to an allocation is taken for one that missed it.
  static constexpr size_t neighbourhood = 512;

  struct Cell {
    /// Linear block indices, -1 for none; `reader` is -2 for several.
    int64_t writer = -1;
    int64_t reader = -1;
    Place write_place;
    Place read_place;
  };
  struct Region {
    Allocation allocation;
    /// Empty until first touched.
    std::vector<Cell> cells;
  };

  void check_blocks(Block& block, Region& region, size_t offset, int bytes, bool write, Place place);

  std::vector<Region> regions_;
  size_t last_ = 0;
};

}  // namespace gpu::simt

// What the checker knows about global memory during one launch.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/checker/accesses.h"
#include "simt/checker/agents.h"
#include "simt/device_memory.h"
#include "simt/place.h"

namespace gpu::simt {

class Block;

/// Finds accesses outside of every allocation, races between the threads of a block, and blocks that touch
/// what another block writes: nothing orders the blocks of a launch.
class GlobalShadow {
 public:
  GlobalShadow();

  void begin_block(const Agents& agents);

  /// Slot `slot`, in its epoch `epoch`, accesses `bytes` bytes on behalf of somebody whose clock is `now`.
  /// False when the address lies neither in nor near an allocation; else checks, and calls `block.fail` on a
  /// fault.
  bool access(Block& block, const Clock& now, int slot, uint32_t epoch, const void* address, int bytes,
              bool write, Place place);

 private:
  /// An access this close to an allocation is taken for one that missed it.
  static constexpr size_t neighbourhood = 512;

  static constexpr int32_t nobody = -1;
  static constexpr int32_t several = -2;

  struct Cell {
    /// Linear indices of blocks; the reader may be `several`.
    int32_t writer = nobody;
    int32_t reader = nobody;
    /// Of the only block that has been here. When others have, their conflict is found before any race.
    Accesses accesses;
  };
  struct Region {
    Allocation allocation;
    /// Empty until first touched.
    std::vector<Cell> cells;
    /// Of a cell, in bytes: the largest power of two up to 16 that all accesses so far are multiples of.
    size_t granule = 16;
  };

  /// Makes the cells of a region so small that an access consists of whole ones.
  void refine(Region& region, size_t offset, size_t bytes, int32_t own);

  void check_blocks(Block& block, const Region& region, const Cell& cell, size_t offset, bool write,
                    Place place) const;
  void check_threads(Block& block, const Region& region, const Cell& cell, size_t offset, const Clock& now,
                     int slot, bool write, Place place) const;

  std::vector<Region> regions_;
  size_t last_ = 0;
  AccessLog log_;
  const Agents* agents_ = nullptr;
};

}  // namespace gpu::simt

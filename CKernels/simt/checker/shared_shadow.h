// What the checker knows about each two bytes of shared memory.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/checker/accesses.h"
#include "simt/checker/agents.h"
#include "simt/checker/clock.h"
#include "simt/place.h"

namespace gpu::simt {

class Block;

/// Finds, by happens-before and not by the luck of a schedule:
/// races, reads of bytes that nobody wrote, accesses to the target of an unfinished asynchronous copy, and
/// accesses through the asynchronous proxy to what its writer has not published there.
class SharedShadow {
 public:
  static constexpr uint32_t granule = 2;

  void begin_block(int shared_bytes, const Agents& agents);

  /// Thread `thread`, whose clock is `now`, touches `bytes` bytes at `offset` from the start of the block's
  /// array. Calls `block.fail`, and then does not return, when it must not.
  void access(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, bool write,
              Place place);
  /// A read and a write that do not race with others of their kind.
  void add_atomically(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, Place place);
  void begin_copy(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, Place place);
  void end_copy(const Clock& now, int thread, uint32_t offset, int bytes, Place place);

  /// The same for an agent's write and read through the asynchronous proxy; `now` is the clock of those who
  /// started it.
  void begin_load(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t offset, int bytes,
                  Place place);
  void end_load(uint32_t offset, int bytes);
  void read_async(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t offset, int bytes,
                  Place place);

 private:
  struct Cell {
    Accesses accesses;
    bool initialised = false;
    bool copy_in_flight = false;
    /// Whether the last write went through the generic proxy.
    bool generic = true;
  };

  void check_reads_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                          Place place);
  void check_write_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                          bool write, Place place);
  void check_additions_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                              bool write, Place place);
  void check_published(Block& block, const Cell& cell, const Clock& now, uint32_t offset, bool write,
                       Place place);
  void check_no_copy(Block& block, const Cell& cell, uint32_t offset, const char* what, Place place);
  void note_write(Cell& cell, int slot, uint32_t epoch, bool generic, Place place);

  const Agents* agents_ = nullptr;
  std::vector<Cell> cells_;
  AccessLog log_;
};

}  // namespace gpu::simt

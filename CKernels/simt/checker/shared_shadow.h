// What the checker knows about each two bytes of shared memory.
#pragma once

#include <cstdint>
#include <vector>

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
    uint32_t write_epoch = 0;
    uint32_t read_epoch = 0;
    int16_t writer = -1;
    /// The last reader, or `several`.
    int16_t reader = -1;
    /// Index into `readers_` when there are several, else -1.
    int32_t readers = -1;
    /// Index into `readers_` of the epochs of those who added atomically since the last plain write, or -1.
    int32_t adders = -1;
    bool initialised = false;
    bool copy_in_flight = false;
    /// Whether the last write went through the generic proxy.
    bool generic = true;
    Place write_place;
    Place read_place;
  };
  static constexpr int16_t several = -2;

  void check_reads_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                          Place place);
  void check_write_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                          bool write, Place place);
  void check_additions_before(Block& block, const Cell& cell, const Clock& now, int slot, uint32_t offset,
                              bool write, Place place);
  void check_published(Block& block, const Cell& cell, const Clock& now, uint32_t offset, bool write,
                       Place place);
  void check_no_copy(Block& block, const Cell& cell, uint32_t offset, const char* what, Place place);
  int32_t take_epochs();
  void note_read(Cell& cell, const Clock& now, int slot, uint32_t epoch, Place place);
  void note_write(Cell& cell, int slot, uint32_t epoch, bool generic, Place place);

  const Agents* agents_ = nullptr;
  std::vector<Cell> cells_;
  /// Last read (or addition) epoch of every slot, for cells that several have read (or added to) since they
  /// were last written.
  std::vector<Clock> readers_;
  std::vector<int32_t> free_readers_;
};

}  // namespace gpu::simt

// What the checker knows about each two bytes of shared memory.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/checker/clock.h"
#include "simt/place.h"

namespace gpu::simt {

class Block;

/// Finds, by happens-before and not by the luck of a schedule:
/// races, reads of bytes that nobody wrote, and accesses to the target of an unfinished asynchronous copy.
class SharedShadow {
 public:
  static constexpr uint32_t granule = 2;

  void begin_block(int shared_bytes, int threads);

  /// Thread `thread`, whose clock is `now`, touches `bytes` bytes at `offset` from the start of the block's
  /// array. Calls `block.fail`, and then does not return, when it must not.
  void access(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, bool write,
              Place place);
  /// A read and a write that do not race with others of their kind.
  void add_atomically(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, Place place);
  void begin_copy(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, Place place);
  void end_copy(const Clock& now, int thread, uint32_t offset, int bytes, Place place);

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
    Place write_place;
    Place read_place;
  };
  static constexpr int16_t several = -2;

  void check_reads_before(Block& block, const Cell& cell, const Clock& now, int thread, uint32_t offset,
                          Place place);
  void check_write_before(Block& block, const Cell& cell, const Clock& now, int thread, uint32_t offset,
                          bool write, Place place);
  void check_additions_before(Block& block, const Cell& cell, const Clock& now, int thread, uint32_t offset,
                              bool write, Place place);
  int32_t take_epochs();
  void note_read(Cell& cell, const Clock& now, int thread, Place place);
  void note_write(Cell& cell, const Clock& now, int thread, Place place);

  int threads_ = 0;
  std::vector<Cell> cells_;
  /// Last read (or addition) epoch of every thread, for cells that several threads have read (or added to)
  /// since they were last written.
  std::vector<std::vector<uint32_t>> readers_;
  std::vector<int32_t> free_readers_;
};

}  // namespace gpu::simt

// The mbarriers of a block: what their 8 bytes would hold, kept beside shared memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "simt/checker/clock.h"
#include "simt/place.h"

namespace gpu::simt {

class Block;

struct Mbarrier {
  int arrivals = 0;
  /// Arrivals and bytes that the current phase still waits for. Bytes may be written before they are
  /// announced.
  int pending = 0;
  int64_t bytes = 0;
  int64_t phase = 0;
  std::vector<int> waiting;

  int initialiser = 0;
  uint32_t initial_epoch = 0;
  bool published = false;
  /// What those that have arrived in the current phase had seen, and in the last one.
  Clock gathering;
  Clock completed;
};

class Mbarriers {
 public:
  /// In the 8 bytes of each, so that data written over one is found out.
  static constexpr uint64_t mark = 0x726569727261626du;

  void clear() { barriers_.clear(); }
  void add(Block& block, uint32_t address, int arrivals, Site site);
  /// The barrier at an address, for use by the running thread; faults when there is none.
  Mbarrier& at(Block& block, uint32_t address, Site site);
  /// The same, for an asynchronous copy that the running thread starts.
  Mbarrier& at_for_copy(Block& block, uint32_t address, Site site);
  void publish(int thread);

  void arrive(Block& block, uint32_t address, int bytes, Site site);
  void wait(Block& block, uint32_t address, int parity, Site site);
  /// A copy has written its bytes. `agent` is its slot in the checker's clocks.
  void written(Block& block, uint32_t address, int bytes, int agent, uint32_t epoch, Site site);

  /// "mbarrier at offset 64 for parity 1 (phase 2, 1 of 2 arrivals and 4096 bytes missing)".
  std::string describe(uint32_t address, int parity) const;

 private:
  void end_phase_when_due(Block& block, uint32_t address, Mbarrier& barrier, Site site);

  std::map<uint32_t, Mbarrier> barriers_;
};

}  // namespace gpu::simt

// The checker: watches every load and store of a kernel that was built with its hooks (hooks.cpp).
//
// What a thread does is ordered with what others do by sync_warp, the barriers and the mbarriers only.
// Shuffles, votes, ldmatrix and mma exchange registers; they promise nothing about memory.
#pragma once

#include <vector>

#include "simt/checker/agents.h"
#include "simt/checker/clock.h"
#include "simt/checker/global_shadow.h"
#include "simt/checker/shared_shadow.h"
#include "simt/place.h"

namespace gpu::simt {

struct BulkLoad;

class Checker {
 public:
  explicit Checker(const Launch& launch) : launch_(launch) {}

  void begin_block(Block& block);

  /// Any load or store of the running thread, made by an instruction that needs `alignment`.
  void access(Block& block, const void* address, int bytes, int alignment, bool write, Place place);
  /// One that is known to be to shared memory, at a 32-bit address within bounds; or to global memory.
  void access_shared(Block& block, uint32_t address, int bytes, bool write, Place place);
  void access_global(Block& block, const void* address, int bytes, bool write, Place place);
  /// To global memory, by an agent of the running thread.
  void access_global_as(Block& block, int slot, uint32_t epoch, const void* address, int bytes, bool write,
                        Place place);
  /// An atomic addition, to an address within bounds.
  void add_atomically(Block& block, uint32_t address, int bytes, Place place);
  void begin_copy(Block& block, uint32_t address, int bytes, Place place);
  void end_copy(Block& block, uint32_t address, int bytes, Place place);

  /// A bulk load of the running thread; gives it its agent and epoch.
  void begin_load(Block& block, BulkLoad& load);
  void end_load(Block& block, uint32_t address, int bytes);
  /// An agent's read of shared memory through the asynchronous proxy, on behalf of somebody who knows `now`.
  void read_async(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t address, int bytes,
                  Place place);

  /// `thread` puts what it has done and seen into `clock`, and `acquire` learns it.
  void release(int thread, Clock& clock);
  void acquire(int thread, const Clock& clock);
  void order_lanes(int warp, uint32_t lanes);

  /// What `thread` wrote so far may be accessed through the asynchronous proxy.
  void publish(int thread);
  bool knows_published(int thread, int writer, uint32_t epoch) const;
  uint32_t epoch(int thread) const { return clocks_[size_t(thread)][thread]; }
  const Clock& clock(int thread) const { return clocks_[size_t(thread)]; }
  void learn(int thread, int slot, uint32_t epoch) { clocks_[size_t(thread)].learn(slot, epoch); }
  /// What some lane of each of the warps knows.
  Clock common_clock(int first_warp, int warps) const;

  /// The slot of an agent in clocks, and a new epoch of it.
  int agent(AgentKind kind, int key) { return agents_.slot(kind, key); }
  uint32_t next_epoch(int agent) { return agents_.next_epoch(agent); }

 private:
  const Launch& launch_;
  std::vector<Clock> clocks_;
  Agents agents_;
  SharedShadow shared_;
  GlobalShadow global_;
};

}  // namespace gpu::simt

// One block of threads while it runs: its fibers, its collectives, its barriers and its shared memory.
//
// A thread runs until it has to wait for others; it then parks and the scheduler's choice is switched to.
// When nobody can run and not all have finished, the block is deadlocked. A fault never unwinds the threads:
// it is recorded, and all of them are abandoned where they stand. So nothing that owns anything may live on a
// fiber's stack across a call that can fail or park.
#pragma once

#include <cstdarg>
#include <memory>
#include <string>
#include <vector>

#include "simt/bulk_copies.h"
#include "simt/checker/clock.h"
#include "simt/copies.h"
#include "simt/fiber.h"
#include "simt/mbarriers.h"
#include "simt/place.h"
#include "simt/rendezvous.h"
#include "simt/scheduler.h"
#include "simt/shared_memory.h"
#include "simt/stream.h"
#include "simt/warpgroup.h"

namespace gpu::simt {

class Checker;

struct Thread {
  Fiber fiber;
  int index = 0;
  bool finished = false;
  /// What a parked thread waits for, and where; also the last primitive that a running one called.
  const char* waits_for = nullptr;
  Site site = {nullptr, 0};
  /// The mbarrier that it waits for; 0 for none.
  uint32_t awaited_mbarrier = 0;
  int awaited_parity = 0;
  CopyQueue copies;
  StoreQueue stores;

  int warp() const { return index / warp_size; }
  int lane() const { return index % warp_size; }
  uint32_t bit() const { return 1u << lane(); }
};

struct Warp {
  uint32_t exited = 0;
  std::vector<Rendezvous> pending;
};

struct Barrier {
  int expected = 0;
  int arrived = 0;
  /// The threads that are parked here.
  std::vector<int> waiting;
  /// The lanes of each warp that have arrived, and where its first one did: the others must come from the
  /// same line.
  uint32_t lanes[32] = {};
  Site sites[32] = {};
  /// What those that arrived had seen, for the checker.
  Clock clock;

  void reset();
};

/// Runs blocks of one launch, one after the other, on the calling operating system thread.
class Block {
 public:
  Block(const Launch& launch, const Options& options, Checker* checker);
  ~Block();

  /// Runs block `index` of the grid; false after a fault.
  bool run(int64_t index);
  const std::string& fault() const { return fault_; }

  Thread& running() { return *running_; }
  Thread& thread(int index) { return *threads_[size_t(index)]; }
  Warp& warp(int index) { return warps_[size_t(index)]; }
  Warpgroup& warpgroup(int index) { return warpgroups_[size_t(index)]; }

  /// Waits until every lane of `mask` has called the same operation; the last one computes for all.
  void meet(const Operation& operation, uint32_t mask, void* argument, Site site);
  void arrive(int barrier, int expected, bool waits, Site site);

  /// Suspends the running thread until `wake`.
  void park(const char* what, Site site);
  void wake(int index) { scheduler_.add(thread(index).warp(), thread(index).bit()); }

  /// Faults when the running thread's own memory at an address holds accumulators of a product in flight.
  void check_registers(const void* address, int bytes, bool write, Place place);

  /// Records a fault of the running thread and abandons the block.
  [[noreturn]] void fail(Place place, const char* format, ...) __attribute__((format(printf, 3, 4)));
  /// The same, with a text that ends in " at " and the other place that the fault is about.
  [[noreturn]] void fail_against(Place place, Place other, const char* format, ...)
      __attribute__((format(printf, 4, 5)));

  const Launch& launch;
  const Options& options;
  SharedMemory shared;
  Mbarriers mbarriers;
  BulkLoads bulk_loads;
  RegisterPool registers;
  Statistics statistics;
  /// Null unless the kernel was built for the checker.
  Checker* const checker;
  Random random;
  int position[3] = {0, 0, 0};
  int64_t linear_index = 0;

 private:
  static void enter(void* thread);
  void resume_next();
  int next_thread();
  void finish();
  void check_nothing_in_flight();
  void record(Place place, const Place* other, const char* format, va_list values);
  std::string circumstances() const;
  std::string describe_deadlock() const;

  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  std::vector<Warpgroup> warpgroups_;
  Barrier barriers_[16];
  Scheduler scheduler_;
  Fiber main_;
  Thread* running_ = nullptr;
  int alive_ = 0;
  std::string fault_;
};

/// The block that the calling operating system thread is running; null outside of one.
Block* active_block();
/// The same, for primitives, which only kernels may call.
Block& this_block();

}  // namespace gpu::simt

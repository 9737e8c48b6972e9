// What the host says about emulated launches, and what it learns from them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/platform.h"

namespace gpu::simt {

/// Which runnable thread goes on when one has to wait. A correct kernel gives the same bits under each.
enum class Schedule {
  /// Threads in turn.
  round_robin,
  /// The lowest warp as far as it goes, then the next: the cheapest adversary of a missing barrier.
  ascending,
  /// The highest warp as far as it goes.
  descending,
  /// A random lane of a random warp.
  random,
};

/// When an asynchronous copy happens, between the earliest and the latest moment that the PTX ISA allows.
enum class AsyncTiming {
  /// At issue.
  eager,
  /// When it is waited for; until then the destination is poisoned.
  lazy,
  /// One or the other, each copy by itself.
  random,
};

struct Options {
  Schedule schedule = Schedule::ascending;
  AsyncTiming timing = AsyncTiming::lazy;
  /// Of the random schedule and timing. Each fault's text repeats it.
  uint64_t seed = 1;
  /// Operating system threads that run blocks. The checker always uses one.
  int workers = 1;
  /// What kernels with a block for each multiprocessor are told.
  int multiprocessors = 2;
};

struct Statistics {
  int64_t blocks = 0;
  int64_t switches = 0;
  int64_t mma = 0;
  int64_t wgmma = 0;
  int64_t matrix_loads = 0;
  /// Additional shared memory cycles that matrix loads took because rows shared a bank.
  int64_t bank_conflicts = 0;

  void add(const Statistics& other);
};

struct Stream;

/// Work to be done later, and again: each step returns what `run` does.
using Recording = std::vector<std::function<int(Stream*)>>;

/// Launches in order, with their options. A launch runs to its end before `launch` returns. Belongs to one
/// thread.
struct Stream {
  Options options;
  /// Where launches go instead of being run, as while a CUDA stream is captured; null outside of that.
  Recording* recording = nullptr;
  /// The first fault of the last launch, or empty.
  std::string fault;
  /// Sums over the launches of this stream.
  Statistics statistics;
};

}  // namespace gpu::simt

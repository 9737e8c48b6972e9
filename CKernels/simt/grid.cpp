// Runs the blocks of a launch.

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "simt/block.h"
#include "simt/checker/checker.h"
#include "simt/device_memory.h"

namespace gpu::simt {
namespace {

/// What the CUDA runtime would refuse, or nothing.
std::string refusal(const Launch& launch) {
  char text[256] = "";
  if (launch.grid[0] < 1 || launch.grid[1] < 1 || launch.grid[2] < 1 || launch.grid[1] > 65535 ||
      launch.grid[2] > 65535) {
    std::snprintf(text, sizeof text,
                  "grid (%d, %d, %d): each axis needs at least 1, and y and z at most 65535", launch.grid[0],
                  launch.grid[1], launch.grid[2]);
  } else if (launch.threads < warp_size || launch.threads > 1024 || launch.threads % warp_size != 0) {
    std::snprintf(text, sizeof text, "%d threads in a block: a multiple of 32 up to 1024 is needed",
                  launch.threads);
  } else if (launch.shared_bytes < 0 || launch.shared_bytes > SharedMemory::largest) {
    std::snprintf(text, sizeof text, "%d bytes of shared memory: 0 to %d are possible", launch.shared_bytes,
                  SharedMemory::largest);
  }
  return text[0] ? std::string("kernel ") + launch.name + ": " + text : std::string();
}

/// Takes blocks from a common counter until none is left or one has failed.
class Workers {
 public:
  Workers(Stream& stream, const Launch& launch, Checker* checker)
      : stream_(stream),
        launch_(launch),
        checker_(checker),
        count_(int64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2]) {}

  void run() {
    int64_t workers = checker_ ? 1 : stream_.options.workers;
    if (workers > count_) workers = count_;
    std::vector<std::thread> others;
    for (int64_t i = 1; i < workers; ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& other : others) other.join();
  }

 private:
  void work() {
    Block block(launch_, stream_.options, checker_);
    for (;;) {
      int64_t index = next_.fetch_add(1);
      if (index >= count_ || failed_.load()) break;
      if (!block.run(index)) {
        failed_.store(true);
        std::lock_guard lock(mutex_);
        if (stream_.fault.empty()) stream_.fault = block.fault();
      }
    }
    std::lock_guard lock(mutex_);
    stream_.statistics.add(block.statistics);
  }

  Stream& stream_;
  const Launch& launch_;
  Checker* checker_;
  const int64_t count_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
};

/// The launch and a copy of its arguments.
std::function<int(Stream*)> recorded(const Launch& launch) {
  // As aligned as any parameter: a tensor map asks for 64 bytes.
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  auto arguments =
      std::make_shared<std::vector<Line>>((size_t(launch.argument_bytes) + sizeof(Line) - 1) / sizeof(Line));
  std::memcpy(arguments->data(), launch.arguments, size_t(launch.argument_bytes));
  return [launch, arguments](Stream* stream) {
    Launch again = launch;
    again.arguments = arguments->data();
    return run(stream, again);
  };
}

}  // namespace

void Statistics::add(const Statistics& other) {
  blocks += other.blocks;
  switches += other.switches;
  mma += other.mma;
  wgmma += other.wgmma;
  matrix_loads += other.matrix_loads;
  bank_conflicts += other.bank_conflicts;
}

int multiprocessor_count(const Stream* stream) {
  return stream ? stream->options.multiprocessors : Options().multiprocessors;
}

// Tests have one of their own that counts.
__attribute__((weak)) void note_launch(const Launch&) {}

int run(Stream* stream, const Launch& launch) {
  Stream fallback;
  Stream& used = stream ? *stream : fallback;
  used.fault = refusal(launch);
  if (used.recording && used.fault.empty()) {
    used.recording->push_back(recorded(launch));
    return 0;
  }
  if (used.fault.empty()) {
    note_launch(launch);
    std::unique_ptr<Checker> checker;
    if (launch.reports_accesses) checker = std::make_unique<Checker>(launch);
    Workers(used, launch, checker.get()).run();
  }
  if (used.fault.empty()) {
    std::string damage = DeviceMemory::damage();
    if (!damage.empty()) used.fault = std::string("kernel ") + launch.name + ": " + damage;
  }
  return used.fault.empty() ? 0 : 1;
}

}  // namespace gpu::simt

// Vector clocks: what a thread knows of the others' progress.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpu::simt {

/// Entry `s` is the latest epoch of slot `s` whose accesses happened before. Empty means nothing is known.
///
/// The slots of a block of n threads: the threads; then, of each thread, what it has published to the
/// asynchronous proxy; then the agents that act on behalf of threads.
class Clock {
 public:
  void clear() { epochs_.clear(); }
  void reset(int threads) { epochs_.assign(size_t(threads), 0); }

  uint32_t operator[](int slot) const { return size_t(slot) < epochs_.size() ? epochs_[size_t(slot)] : 0; }
  void advance(int slot) { epochs_[size_t(slot)] += 1; }
  int size() const { return int(epochs_.size()); }

  void learn(int slot, uint32_t epoch) {
    if (size_t(slot) >= epochs_.size()) epochs_.resize(size_t(slot) + 1, 0);
    epochs_[size_t(slot)] = std::max(epochs_[size_t(slot)], epoch);
  }

  void join(const Clock& other) {
    if (epochs_.size() < other.epochs_.size()) epochs_.resize(other.epochs_.size(), 0);
    for (size_t i = 0; i < other.epochs_.size(); ++i) epochs_[i] = std::max(epochs_[i], other.epochs_[i]);
  }

  /// Keeps what both know.
  void meet(const Clock& other) {
    epochs_.resize(std::min(epochs_.size(), other.epochs_.size()));
    for (size_t i = 0; i < epochs_.size(); ++i) epochs_[i] = std::min(epochs_[i], other.epochs_[i]);
  }

 private:
  std::vector<uint32_t> epochs_;
};

}  // namespace gpu::simt

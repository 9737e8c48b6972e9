// Vector clocks: what a thread knows of the others' progress.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpu::simt {

/// Entry `t` is the latest epoch of thread `t` whose accesses happened before. Empty means nothing is known.
class Clock {
 public:
  void clear() { epochs_.clear(); }
  void reset(int threads) { epochs_.assign(size_t(threads), 0); }

  uint32_t operator[](int thread) const {
    return size_t(thread) < epochs_.size() ? epochs_[size_t(thread)] : 0;
  }
  void advance(int thread) { epochs_[size_t(thread)] += 1; }

  void join(const Clock& other) {
    if (epochs_.size() < other.epochs_.size()) epochs_.resize(other.epochs_.size(), 0);
    for (size_t i = 0; i < other.epochs_.size(); ++i) epochs_[i] = std::max(epochs_[i], other.epochs_[i]);
  }

 private:
  std::vector<uint32_t> epochs_;
};

}  // namespace gpu::simt

// Those who access memory on behalf of threads: the loads that complete an mbarrier, the stores of a thread
// (their reads and their writes end at different times), the products of a warpgroup. Each has a slot in the
// clocks, like a thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpu::simt {

enum class AgentKind { load, store, stored, product };

class Agents {
 public:
  void begin_block(int threads) {
    threads_ = threads;
    agents_.clear();
  }

  int slot(AgentKind kind, int key) {
    for (size_t i = 0; i < agents_.size(); ++i) {
      if (agents_[i].kind == kind && agents_[i].key == key) return first() + int(i);
    }
    agents_.push_back({kind, key, 0});
    return first() + int(agents_.size()) - 1;
  }
  uint32_t next_epoch(int slot) { return ++agents_[size_t(slot - first())].epoch; }

  /// The slot for what a thread has published.
  int published(int thread) const { return threads_ + thread; }

  /// "thread 3", "the bulk loads of the mbarrier at offset 64".
  std::string name(int slot) const {
    if (slot < threads_) return "thread " + std::to_string(slot);
    const Agent& agent = agents_[size_t(slot - first())];
    const std::string key = std::to_string(agent.key);
    if (agent.kind == AgentKind::load) return "the bulk loads of the mbarrier at offset " + key;
    if (agent.kind == AgentKind::store || agent.kind == AgentKind::stored)
      return "the bulk stores of thread " + key;
    return "the wgmma of warpgroup " + key;
  }

 private:
  struct Agent {
    AgentKind kind;
    int key;
    uint32_t epoch;
  };
  int first() const { return 2 * threads_; }

  int threads_ = 0;
  std::vector<Agent> agents_;
};

}  // namespace gpu::simt

// Bulk copies between issue and completion.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/tensor_map.h"

namespace gpu::simt {

class Block;

/// Global to shared memory; belongs to the block, and completes an mbarrier.
struct BulkLoad {
  Box box;
  /// Where the box is not one: contiguous bytes.
  const unsigned char* source;
  uint32_t destination;
  int bytes;
  uint32_t barrier;
  /// The slot and the epoch of the write in the checker's clocks.
  int agent;
  uint32_t epoch;
  Site site;
};

/// Shared to global memory; belongs to the thread that issued it.
struct BulkStore {
  Box box;
  uint32_t source;
  bool done;
  uint32_t epoch;
  Site site;
};

struct StoreQueue {
  /// In order of issue.
  std::vector<BulkStore> stores;
  /// How many of `stores` lie before the end of each committed group.
  std::vector<size_t> group_ends;

  void clear() {
    stores.clear();
    group_ends.clear();
  }
};

/// The loads of a block that have not happened yet.
class BulkLoads {
 public:
  void clear() { loads_.clear(); }
  bool empty() const { return loads_.empty(); }
  const BulkLoad& front() const { return loads_.front(); }

  void add(const BulkLoad& load) { loads_.push_back(load); }
  /// Makes one of them happen, in no particular order.
  void perform_any(Block& block);

 private:
  std::vector<BulkLoad> loads_;
};

}  // namespace gpu::simt

// A thread's cp.async copies between issue and wait.
#pragma once

#include <cstdint>
#include <vector>

#include "device/platform.h"

namespace gpu::simt {

struct PendingCopy {
  uint32_t destination;
  const void* source;
  int valid;
  /// False when the bytes were moved at issue.
  bool deferred;
  Site site;
};

struct CopyQueue {
  /// In order of issue.
  std::vector<PendingCopy> copies;
  /// How many of `copies`, counted from the front, lie before the end of each committed group.
  std::vector<size_t> group_ends;

  void clear() {
    copies.clear();
    group_ends.clear();
  }
};

}  // namespace gpu::simt

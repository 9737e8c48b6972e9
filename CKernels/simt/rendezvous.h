// How the lanes of a warp meet in a collective operation.
//
// A lane hands in a pointer to its argument, which lies on its own stack, and parks. The last to arrive
// computes the results of all and makes the others runnable. One mechanism serves syncwarp, shuffles, votes,
// ldmatrix and mma.
#pragma once

#include <cstdint>

#include "device/platform.h"

namespace gpu::simt {

class Block;
struct Rendezvous;

/// One kind of collective. Compared by address.
struct Operation {
  const char* name;
  /// All 32 lanes must take part, from the same line: what PTX calls `.aligned`.
  bool aligned;
  /// Whether memory accesses before it are ordered with those after it.
  bool orders_memory;
  void (*compute)(Block& block, int warp, Rendezvous& met);
};

/// A collective that some lanes wait in.
struct Rendezvous {
  const Operation* operation;
  Site site;
  uint32_t mask;
  uint32_t arrived;
  void* arguments[32];

  template <class Argument>
  Argument& argument(int lane) {
    return *static_cast<Argument*>(arguments[lane]);
  }
};

}  // namespace gpu::simt

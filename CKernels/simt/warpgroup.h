// Four neighbouring warps, and the products that they have started.
//
// A product is one operation of the whole warpgroup: it can run once all four warps have issued it, and a
// wait of one warp waits for the others to issue too, because one thread may hand on the operands on behalf
// of all.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <vector>

#include "device/platform.h"

namespace gpu::simt {

class Block;

/// The accumulators of one warp, taken out of its registers while products on them are in flight.
struct Accumulators {
  int n;
  /// Of each lane: [n / 8][4].
  uint32_t* registers[32];
  /// [16][n], as bits
  std::vector<uint32_t> values;
  /// One more than the number of the last product on them.
  size_t end;
  /// Lanes that have got theirs back.
  uint32_t returned;
  Site site;
};

struct WarpgroupProduct {
  Wgmma request;
  Site site;
  /// What each of the four warps handed in; null until it has.
  Accumulators* target[4];
  /// [4][16][16 or 32], when a comes from registers.
  std::vector<float> a;
};

struct Warpgroup {
  static constexpr int members = 4;

  /// Products that some warp has yet to wait for; the first one's number is `first`. Numbers count from 0.
  std::deque<WarpgroupProduct> products;
  size_t first = 0;
  /// How many all members have issued, and how many have run.
  size_t issued_by_all = 0;
  size_t executed = 0;
  std::vector<int> waiting;

  struct Member {
    size_t issued = 0;
    size_t waited = 0;
    /// How many products had been issued at the end of each committed group.
    std::vector<size_t> group_ends;
    std::list<Accumulators> accumulators;
    bool fenced = false;
  } member[members];

  WarpgroupProduct& product(size_t number) { return products[number - first]; }
};

/// The registers of a block, of which setmaxnreg moves some from warp to warp.
struct RegisterPool {
  int free = 0;
  /// Of a thread of each warp.
  int held[32] = {};
  std::vector<int> waiting;

  void reset(int threads);
};

}  // namespace gpu::simt

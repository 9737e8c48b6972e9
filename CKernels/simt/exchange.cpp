// Warp collectives on registers: shuffles and votes, and the warp barrier.

#include "simt/block.h"

namespace gpu::simt {
namespace {

struct ShuffleArgument {
  uint32_t value;
  int operand;
  uint32_t result;
};

/// The lane whose value `lane` receives. Sources outside of the warp leave one's own value, as PTX says.
template <Shuffle kind>
int source_lane(int lane, int operand) {
  int source = 0;
  switch (kind) {
    case Shuffle::index:
      return operand & 31;
    case Shuffle::exclusive_or:
      source = lane ^ (operand & 31);
      break;
    case Shuffle::up:
      source = lane - (operand & 31);
      break;
    case Shuffle::down:
      source = lane + (operand & 31);
      break;
  }
  return source < 0 || source > 31 ? lane : source;
}

template <Shuffle kind>
void exchange(Block& block, int, Rendezvous& met) {
  for (int lane = 0; lane < warp_size; ++lane) {
    if (!(met.mask >> lane & 1)) continue;
    auto& argument = met.argument<ShuffleArgument>(lane);
    int source = source_lane<kind>(lane, argument.operand);
    if (!(met.mask >> source & 1)) {
      block.fail(met.site, "shuffle with mask 0x%08x: lane %d reads lane %d, which takes no part", met.mask,
                 lane, source);
    }
    argument.result = met.argument<ShuffleArgument>(source).value;
  }
}

constexpr Operation shuffles[] = {
    {"shuffle", false, false, exchange<Shuffle::index>},
    {"shuffle_xor", false, false, exchange<Shuffle::exclusive_or>},
    {"shuffle_up", false, false, exchange<Shuffle::up>},
    {"shuffle_down", false, false, exchange<Shuffle::down>},
};

struct BallotArgument {
  bool predicate;
  uint32_t result;
};

void vote(Block&, int, Rendezvous& met) {
  uint32_t votes = 0;
  for (int lane = 0; lane < warp_size; ++lane) {
    if (met.mask >> lane & 1) votes |= uint32_t(met.argument<BallotArgument>(lane).predicate) << lane;
  }
  for (int lane = 0; lane < warp_size; ++lane) {
    if (met.mask >> lane & 1) met.argument<BallotArgument>(lane).result = votes;
  }
}

struct ElectArgument {
  bool elected;
};

/// The manual promises the same lane each time, not which one.
void elect(Block& block, int, Rendezvous& met) {
  const int leader = int(Random(block.options.seed).below(warp_size));
  for (int lane = 0; lane < warp_size; ++lane) met.argument<ElectArgument>(lane).elected = lane == leader;
}

constexpr Operation elect_operation = {"elect_one", false, false, elect};
constexpr Operation ballot_operation = {"ballot", false, false, vote};
constexpr Operation sync_operation = {"sync_warp", false, true, nullptr};

}  // namespace

void sync_warp(uint32_t mask, Site site) { this_block().meet(sync_operation, mask, nullptr, site); }

uint32_t shuffle(Shuffle kind, uint32_t value, int operand, uint32_t mask, Site site) {
  ShuffleArgument argument = {value, operand, 0};
  this_block().meet(shuffles[int(kind)], mask, &argument, site);
  return argument.result;
}

uint32_t ballot(bool predicate, uint32_t mask, Site site) {
  BallotArgument argument = {predicate, 0};
  this_block().meet(ballot_operation, mask, &argument, site);
  return argument.result;
}

bool elect_one(Site site) {
  ElectArgument argument = {false};
  this_block().meet(elect_operation, full_mask, &argument, site);
  return argument.elected;
}

}  // namespace gpu::simt

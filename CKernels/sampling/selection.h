// Which tokens may be drawn: the last one, in the sampler's order, of those that top-k and top-p keep.
//
// Both ask the same question: in order of the keys (see candidate_key), where does the sum of the weights
// reach a limit? top-k weighs each token 1; top-p by its integer mass. Sums of integers do not depend on the
// order in which threads add them.
//
//   1. a histogram of the row over distances from the largest logit, in steps of 1/16 nat: the bin in which
//      the limit is reached holds few tokens
//   2. those go to a list in shared memory; when they are too many, the row itself is read again
//   3. radix descent by the eight bytes of the keys, from the highest: a histogram each
//
#pragma once

#include "sampling/row.h"

namespace gpu {

constexpr int histogram_bins = 256;
constexpr int list_capacity = 1024;

/// In shared memory.
struct SelectionMemory {
  uint64_t weights[histogram_bins];
  uint32_t counts[histogram_bins];
  uint64_t list[list_capacity];
  uint64_t scratch[4 * row_warps];
  /// What warp 0 found: the bin, and the weight before it.
  uint64_t before;
  uint32_t bin;
  uint32_t list_size;
};

/// Tokens of a row that are candidates, and their weights.
struct Candidates {
  LogitRow row;
  float temperature;
  /// y of the largest logit.
  float top;
  /// Candidates have y ≥ floor.
  float floor;
  /// Candidates have a key of at least this.
  uint64_t least;
  /// Weigh by mass, or each 1.
  bool by_mass;
  /// Tokens of −∞ are candidates too, behind all others.
  bool takes_excluded = false;

  /// Logits below this are 28 nats from the top or more: their mass is 0 and their bin the last. Saves most
  /// divisions; the margin covers the rounding of product and quotient.
  GPU_DEVICE float far() const {
    const float y = top - 28.0f;
    const float logit = y * temperature;
    return logit - (logit < 0 ? -logit : logit) * 0x1p-20f;
  }

  GPU_DEVICE bool contains(float logit, int token, float y) const {
    return (takes_excluded || logit > negative_infinity()) && y >= floor &&
           (least == 0 || candidate_key(logit, token) >= least);
  }
  GPU_DEVICE uint64_t weight(float y) const { return by_mass ? portable_weight(subtract_rn(y, top)) : 1; }
};

/// Distances from the top in steps of 1/16, as bins; the last takes all that are farther. Falls as y grows.
GPU_DEVICE int distance_bin(float top, float y) {
  const float steps = subtract_rn(top, y) * 16.0f;
  return steps < float(histogram_bins - 1) ? int(steps) : histogram_bins - 1;
}

/// Calls `body(logit, token, y)` for each candidate; y is −∞ for what is far from the top.
template <class Body>
GPU_DEVICE void for_each_candidate(const Candidates& c, Body body) {
  const float far = c.far();
  for (int first = thread_index() * group_tokens; first < c.row.count; first += row_threads * group_tokens) {
    const LogitGroup group = c.row.group(first);
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      const float logit = group.logit[i];
      const bool near = logit >= far;
      if (!near && c.floor > negative_infinity() && c.floor > c.top - 28.0f) continue;
      const float y =
          near || c.floor > negative_infinity() ? divide_rn(logit, c.temperature) : negative_infinity();
      if (c.contains(logit, first + i, y)) body(logit, first + i, y);
    }
  }
}

GPU_DEVICE void clear_histogram(SelectionMemory& memory) {
  for (int bin = thread_index(); bin < histogram_bins; bin += row_threads) {
    memory.weights[bin] = 0;
    memory.counts[bin] = 0;
  }
}

/// Finds the bin in which the weights, summed in the order in which `place` numbers the bins, reach `limit`;
/// the last when they never do. For all threads of warp 0.
template <class Place>
GPU_DEVICE void find_bin(SelectionMemory& memory, uint64_t limit, Place place) {
  constexpr int bins_a_lane = histogram_bins / warp_size;
  const int lane = lane_index();
  uint64_t own = 0;
  for (int i = 0; i < bins_a_lane; ++i) own += memory.weights[place(lane * bins_a_lane + i)];
  uint64_t before = own;
  for (int distance = 1; distance < warp_size; distance *= 2) {
    const uint32_t low = shuffle_up(uint32_t(before), distance);
    const uint32_t high = shuffle_up(uint32_t(before >> 32), distance);
    if (lane >= distance) before += uint64_t(high) << 32 | low;
  }
  const bool reaches = before >= limit;
  before -= own;
  const uint32_t lanes = ballot(reaches);
  int chosen = warp_size - 1;
  for (int candidate = warp_size - 1; candidate >= 0; --candidate) {
    if (lanes >> candidate & 1) chosen = candidate;
  }
  if (lane != chosen) return;
  int i = 0;
  for (; i < bins_a_lane - 1; ++i) {
    const uint64_t weight = memory.weights[place(lane * bins_a_lane + i)];
    if (before + weight >= limit) break;
    before += weight;
  }
  memory.bin = uint32_t(place(lane * bins_a_lane + i));
  memory.before = before;
}

/// The key of the candidate at which the weights, summed from the largest key on, reach `limit(total)`; that
/// of the last candidate's bound when they never do. All threads of the block call it, with nothing pending
/// in `memory`.
template <class Limit>
GPU_DEVICE uint64_t key_at_limit(const Candidates& c, SelectionMemory& memory, Limit limit_of) {
  sync_block();
  clear_histogram(memory);
  sync_block();
  uint64_t total = 0, last_weight = 0;
  uint32_t last_count = 0;
  for_each_candidate(c, [&](float, int, float y) {
    const uint64_t weight = y == negative_infinity() && c.by_mass ? 0 : c.weight(y);
    total += weight;
    const int bin = distance_bin(c.top, y);
    // Most tokens are far from the top, and would all add to one word.
    if (bin == histogram_bins - 1) {
      last_weight += weight;
      last_count += 1;
    } else {
      add_atomically(&memory.weights[bin], weight);
      add_atomically(&memory.counts[bin], 1u);
    }
  });
  total = block_sum(total, memory.scratch);
  last_weight = block_sum(last_weight, memory.scratch + row_warps);
  const uint64_t in_last = block_sum(last_count, memory.scratch + 2 * row_warps);
  uint64_t limit = limit_of(total);
  if (limit > total) return c.least;
  if (thread_index() == 0) {
    memory.weights[histogram_bins - 1] = last_weight;
    memory.counts[histogram_bins - 1] = uint32_t(in_last);
    memory.list_size = 0;
  }
  sync_block();
  if (warp_index() == 0) find_bin(memory, limit, [](int bin) { return bin; });
  sync_block();
  const int bin = int(memory.bin);
  limit -= memory.before;
  const bool fits = memory.counts[bin] <= uint32_t(list_capacity);
  if (fits) {
    for_each_candidate(c, [&](float logit, int token, float y) {
      if (distance_bin(c.top, y) != bin) return;
      memory.list[add_atomically(&memory.list_size, 1u)] = candidate_key(logit, token);
    });
    sync_block();
  }

  uint64_t prefix = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    sync_block();
    clear_histogram(memory);
    sync_block();
    auto add = [&](uint64_t key, float y) {
      if (shift < 56 && key >> (shift + 8) != prefix) return;
      const uint64_t weight = y == negative_infinity() && c.by_mass ? 0 : c.weight(y);
      add_atomically(&memory.weights[key >> shift & 255], weight);
    };
    if (fits) {
      for (uint32_t i = uint32_t(thread_index()); i < memory.list_size; i += row_threads) {
        const uint64_t key = memory.list[i];
        add(key, divide_rn(candidate_logit(key), c.temperature));
      }
    } else {
      for_each_candidate(c, [&](float logit, int token, float y) {
        if (distance_bin(c.top, y) == bin) add(candidate_key(logit, token), y);
      });
    }
    sync_block();
    if (warp_index() == 0) find_bin(memory, limit, [](int bin) { return histogram_bins - 1 - bin; });
    sync_block();
    limit -= memory.before;
    prefix = prefix << 8 | memory.bin;
  }
  return prefix;
}

}  // namespace gpu

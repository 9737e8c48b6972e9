// One row of logits, walked by one block in groups of four tokens, and what a block computes over it.
#pragma once

#include "device/device.h"
#include "sampling/portable_math.h"

namespace gpu {

constexpr int row_threads = 512;
constexpr int row_warps = row_threads / warp_size;
constexpr int group_tokens = 4;
/// Sums of weights over a row stay within 64 bits.
constexpr int most_tokens = 1 << 20;

inline bool is_vocabulary(int count) { return count > 0 && count < most_tokens; }

struct LogitGroup {
  float logit[group_tokens];
};

struct LogitRow {
  const float* data;
  int count;

  /// Tokens past the end are −∞.
  GPU_DEVICE LogitGroup group(int first) const {
    LogitGroup group;
    if (first + group_tokens <= count && reinterpret_cast<uintptr_t>(data) % 16 == 0) {
      const Packed packed = *reinterpret_cast<const Packed*>(data + first);
      GPU_UNROLL
      for (int i = 0; i < group_tokens; ++i) group.logit[i] = float_of(packed.word[i]);
    } else {
      GPU_UNROLL
      for (int i = 0; i < group_tokens; ++i) {
        group.logit[i] = first + i < count ? data[first + i] : negative_infinity();
      }
    }
    return group;
  }
};

GPU_DEVICE uint64_t shuffle_xor(uint64_t value, int distance, Site site = Site::here()) {
  const uint32_t low = shuffle_xor(uint32_t(value), distance, full_mask, site);
  return uint64_t(shuffle_xor(uint32_t(value >> 32), distance, full_mask, site)) << 32 | low;
}

/// Largest of or sum over the block, in every thread. `scratch` is one word a warp, free again after the next
/// barrier.
template <bool sums>
GPU_DEVICE uint64_t block_combine(uint64_t value, uint64_t* scratch) {
  auto combine = [](uint64_t a, uint64_t b) { return sums ? a + b : a > b ? a : b; };
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    value = combine(value, shuffle_xor(value, distance));
  }
  if (lane_index() == 0) scratch[warp_index()] = value;
  sync_block();
  value = scratch[0];
  for (int warp = 1; warp < row_warps; ++warp) value = combine(value, scratch[warp]);
  return value;
}

GPU_DEVICE uint64_t block_max(uint64_t value, uint64_t* scratch) {
  return block_combine<false>(value, scratch);
}
GPU_DEVICE uint64_t block_sum(uint64_t value, uint64_t* scratch) {
  return block_combine<true>(value, scratch);
}

/// NaN or +∞.
GPU_DEVICE bool is_broken(float logit) { return !(logit < float_of(0x7f800000u)); }

struct RowSummary {
  /// Key of the largest logit, by lower id.
  uint64_t largest;
  /// The first token that is NaN or +∞, or −1.
  int broken;
};

/// `scratch`: two words a warp.
GPU_DEVICE RowSummary summarise(const LogitRow& row, uint64_t* scratch) {
  uint64_t largest = 0, broken = 0;
  for (int first = thread_index() * group_tokens; first < row.count; first += row_threads * group_tokens) {
    const LogitGroup group = row.group(first);
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      if (first + i >= row.count) break;
      if (is_broken(group.logit[i])) {
        const uint64_t found = ~uint32_t(first + i);
        broken = found > broken ? found : broken;
      } else {
        const uint64_t key = candidate_key(group.logit[i], first + i);
        largest = key > largest ? key : largest;
      }
    }
  }
  largest = block_max(largest, scratch);
  broken = block_max(broken, scratch + row_warps);
  return {largest, broken ? candidate_token(broken) : -1};
}

}  // namespace gpu

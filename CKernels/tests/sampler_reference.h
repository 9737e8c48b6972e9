// The sampling scheme written out plainly: full sorts, dense counts, every token in the race.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sampling/arguments.h"

namespace gpu::test {

/// Logits of one of five kinds, some with many ties.
std::vector<float> random_logits(size_t count, uint64_t seed);

/// Edits and penalties of one row, by token.
struct RowSettings {
  std::vector<bool> allowed;
  std::map<int, float> edits;
  std::map<int, int> seen;
  float repetition = 1, frequency = 0, presence = 0;
};

std::vector<float> reference_logits(std::vector<float> row, const RowSettings& settings);

/// The token, or −1 − failure.
int reference_token(const std::vector<float>& row, const SamplingRow& settings);

/// Tokens in the sampler's order.
std::vector<int> reference_order(const std::vector<float>& row);

}  // namespace gpu::test

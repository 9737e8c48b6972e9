// Draws a token from each row of logits: one block a row.
//
// The steps are those of Sources/Generation/Sampling/Sampler.swift: the largest logit; what min_p, top_k and
// top_p keep, as a least key; and among those the race, whose winner has the largest y + Gumbel noise.

#include "sampling/arguments.h"
#include "sampling/philox.h"
#include "sampling/selection.h"

namespace gpu {
namespace {

struct Race {
  uint64_t seed;
  uint32_t choice;
  uint32_t position;

  GPU_DEVICE PhiloxBlock words(int token) const {
    return philox({{uint32_t(token) >> 2, position, choice, 0}}, seed);
  }
};

GPU_DEVICE float score_of(float y, uint32_t word) { return add_rn(y, portable_gumbel(word)); }

/// The token with the largest score among the candidates. Scores order like logits, ties by lower id too.
///
/// Every thread starts with the score of the most likely token, so that for most of the others neither random
/// numbers nor logarithms are needed to know that they lose.
GPU_DEVICE int winner(const Candidates& c, const Race& race, uint64_t favourite, SelectionMemory& memory) {
  const int favourite_token = candidate_token(favourite);
  float best = score_of(c.top, race.words(favourite_token).at(favourite_token));
  uint64_t key = candidate_key(best, favourite_token);
  for (int first = thread_index() * group_tokens; first < c.row.count; first += row_threads * group_tokens) {
    const LogitGroup group = c.row.group(first);
    float largest = group.logit[0];
    GPU_UNROLL
    for (int i = 1; i < group_tokens; ++i) largest = maximum(largest, group.logit[i]);
    const float largest_y = divide_rn(largest, c.temperature);
    if (!(largest_y >= c.floor) || add_rn(largest_y, portable_largest_gumbel) < best) continue;
    const PhiloxBlock words = race.words(first);
    GPU_UNROLL
    for (int i = 0; i < group_tokens; ++i) {
      const float y = divide_rn(group.logit[i], c.temperature);
      if (add_rn(y, portable_gumbel_bound(leading_zeros(words.word[i]))) < best) continue;
      if (!c.contains(group.logit[i], first + i, y)) continue;
      const uint64_t other = candidate_key(score_of(y, words.word[i]), first + i);
      if (other > key) {
        key = other;
        best = candidate_logit(other);
      }
    }
  }
  return candidate_token(block_max(key, memory.scratch));
}

/// The mass with which `p` of a total is reached.
GPU_DEVICE uint64_t mass_limit(float p, uint64_t total) {
  const uint64_t limit = uint64_t(ceil(multiply_rn(double(p), double(total))));
  return limit > 1 ? limit : 1;
}

GPU_DEVICE int draw(const LogitRow& row, const SamplingRow& settings, uint64_t favourite, float top,
                    SelectionMemory& memory) {
  const float least_normal = 0x1p-126f;
  const float floor =
      settings.min_p > 0
          ? add_rn(top, portable_log(settings.min_p > least_normal ? settings.min_p : least_normal))
          : negative_infinity();
  Candidates kept = {row, settings.temperature, top, floor, 0, false};
  if (settings.top_k > 0 && settings.top_k < row.count) {
    const uint64_t limit = uint64_t(settings.top_k);
    kept.least = key_at_limit(kept, memory, [=](uint64_t) { return limit; });
  }
  if (settings.top_p < 1) {
    kept.by_mass = true;
    kept.least =
        key_at_limit(kept, memory, [&](uint64_t total) { return mass_limit(settings.top_p, total); });
  }
  sync_block();
  return winner(kept, {settings.seed, settings.choice, settings.position}, favourite, memory);
}

GPU_KERNEL(row_threads, 2)
sample_kernel(SamplingArguments p) {
  GPU_SHARED(shared);
  SelectionMemory& memory = *reinterpret_cast<SelectionMemory*>(shared);
  const SamplingRow settings = p.settings[block_x()];
  const LogitRow row = {p.logits + settings.row * p.stride, p.vocabulary};
  const RowSummary summary = summarise(row, memory.scratch);

  int token = candidate_token(summary.largest);
  SamplingFailure failure = GPI_KERNEL_SAMPLED;
  const int hidden = p.broken ? p.broken[settings.row] : -1;
  const int broken = hidden >= 0 ? hidden : summary.broken;
  const float largest = candidate_logit(summary.largest);
  constexpr float greedy_temperature = 1e-5f;
  if (broken >= 0) {
    token = broken;
    failure = GPI_KERNEL_NOT_FINITE;
  } else if (largest == negative_infinity()) {
    failure = GPI_KERNEL_NOTHING_ALLOWED;
  } else if (!(settings.temperature < greedy_temperature)) {
    const float top = divide_rn(largest, settings.temperature);
    if (is_broken(top) || top == negative_infinity()) {
      failure = GPI_KERNEL_NOT_FINITE;
    } else {
      token = draw(row, settings, summary.largest, top, memory);
    }
  }
  if (thread_index() == 0) {
    p.tokens[settings.target] = token;
    p.failures[settings.target] = failure;
  }
}

}  // namespace

Status sample(Stream stream, const SamplingArguments& arguments) {
  if (arguments.rows < 0 || !is_vocabulary(arguments.vocabulary) || arguments.stride < arguments.vocabulary) {
    return invalid_arguments;
  }
  if (arguments.rows == 0) return 0;
  LaunchShape shape;
  shape.grid.x = arguments.rows;
  shape.threads = row_threads;
  shape.shared_bytes = int(sizeof(SelectionMemory));
  return launch(stream, "sample", shape, sample_kernel, arguments);
}

}  // namespace gpu

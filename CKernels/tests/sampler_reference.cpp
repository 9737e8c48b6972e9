#include "tests/sampler_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sampling/philox.h"
#include "sampling/portable_math.h"
#include "simt/random.h"

namespace gpu::test {

std::vector<float> random_logits(size_t count, uint64_t seed) {
  simt::Random random(seed);
  std::vector<float> row(count);
  const uint32_t kind = uint32_t(seed % 5);
  for (float& logit : row) {
    const float uniform = float(random.below(1 << 20)) / (1 << 19) - 1.0f;
    logit = kind == 0   ? 3 * uniform
            : kind == 1 ? 60 * uniform
            : kind == 2 ? float(int(random.below(4)))  // ties
            : kind == 3 ? 1.0f                         // nothing but ties
                        : -100 + uniform * 0.01f;      // one bin
    if (kind != 3 && random.below(16) == 0) logit = -INFINITY;
  }
  row[random.below(uint32_t(count))] = kind == 1 ? 70.0f : 1.25f;
  if (kind == 2) row[random.below(uint32_t(count))] = -0.0f;
  return row;
}

std::vector<float> reference_logits(std::vector<float> row, const RowSettings& settings) {
  for (size_t token = 0; token < row.size(); ++token) {
    float& logit = row[token];
    if (!settings.allowed.empty() && !settings.allowed[token]) logit = -INFINITY;
    if (auto edit = settings.edits.find(int(token)); edit != settings.edits.end()) logit += edit->second;
    auto seen = settings.seen.find(int(token));
    if (seen == settings.seen.end()) continue;
    logit = logit > 0 ? logit / settings.repetition : logit * settings.repetition;
    if (seen->second == 0) continue;
    logit -= settings.frequency * float(seen->second);
    logit -= settings.presence;
  }
  return row;
}

std::vector<int> reference_order(const std::vector<float>& row) {
  std::vector<int> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[size_t(a)] > row[size_t(b)]; });
  return order;
}

int reference_token(const std::vector<float>& row, const SamplingRow& settings) {
  for (float logit : row) {
    if (std::isnan(logit) || logit == INFINITY) return -1 - int(GPI_KERNEL_NOT_FINITE);
  }
  std::vector<int> order = reference_order(row);
  if (row[size_t(order[0])] == -INFINITY) return -1 - int(GPI_KERNEL_NOTHING_ALLOWED);
  if (settings.temperature < 1e-5f) return order[0];
  auto y = [&](int token) { return row[size_t(token)] / settings.temperature; };
  const float top = y(order[0]);
  if (!std::isfinite(top)) return -1 - int(GPI_KERNEL_NOT_FINITE);

  std::vector<int> kept;
  for (int token : order) {
    if (row[size_t(token)] == -INFINITY) continue;
    if (settings.min_p > 0 && y(token) < top + portable_log(settings.min_p)) continue;
    if (settings.top_k > 0 && int(kept.size()) >= settings.top_k) continue;
    kept.push_back(token);
  }
  if (settings.top_p < 1) {
    uint64_t total = 0;
    for (int token : kept) total += portable_weight(y(token) - top);
    const uint64_t limit = std::max<uint64_t>(1, uint64_t(std::ceil(double(settings.top_p) * double(total))));
    uint64_t before = 0;
    size_t count = 0;
    for (; count < kept.size() && before < limit; ++count) before += portable_weight(y(kept[count]) - top);
    kept.resize(count);
  }
  std::sort(kept.begin(), kept.end());
  int winner = -1;
  float best = 0;
  for (int token : kept) {
    const PhiloxBlock words =
        philox({{uint32_t(token) / 4, settings.position, settings.choice, 0}}, settings.seed);
    const float score = y(token) + portable_gumbel(words.word[token % 4]);
    if (winner >= 0 && score <= best) continue;
    winner = token;
    best = score;
  }
  return winner;
}

}  // namespace gpu::test

// Log-probabilities of sampled tokens, and the way of tokens to the next step.

#include "tests/sampler_reference.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

void test_logprobs(size_t vocabulary, int top) {
  const int rows = 6;
  std::vector<float> logits;
  std::vector<int32_t> chosen;
  for (uint64_t row = 0; row < rows; ++row) {
    auto values = random_logits(vocabulary, row);
    if (row == 5) values[vocabulary - 1] = NAN;
    // Fewer tokens above −∞ than are asked for.
    for (size_t token = 0; row == 4 && token < vocabulary; ++token) {
      if (token % 97 != 0) values[token] = -INFINITY;
    }
    logits.insert(logits.end(), values.begin(), values.end());
    chosen.push_back(row == 3 ? -1 : int((row * 37) % vocabulary));
  }
  DeviceArray<float> input("logits", logits), logprobs("logprobs", rows),
      top_logprobs("top logprobs", size_t(rows * top));
  DeviceArray<int32_t> tokens("tokens", chosen), ranks("ranks", rows),
      top_tokens("top tokens", size_t(rows * top));
  DeviceArray<int32_t> failures("failures", rows);
  const LogprobArguments arguments = {GPI_KERNEL_FLOAT32,
                                      rows,
                                      int(vocabulary),
                                      top,
                                      input.data(),
                                      int(vocabulary),
                                      nullptr,
                                      tokens.data(),
                                      logprobs.data(),
                                      ranks.data(),
                                      top_tokens.data(),
                                      top_logprobs.data(),
                                      failures.data()};
  expect_same_bits(
      "logprobs", [&](Stream stream) { return token_logprobs(stream, arguments); },
      [&] {
        auto bytes = logprobs.bytes();
        for (auto more : {ranks.bytes(), top_tokens.bytes(), top_logprobs.bytes()}) {
          bytes.insert(bytes.end(), more.begin(), more.end());
        }
        return bytes;
      });
  EXPECT(failures[5] == GPI_KERNEL_NOT_FINITE);
  for (int row = 0; row < 5; ++row) {
    if (row == 3) continue;
    std::vector<float> values(logits.begin() + row * long(vocabulary),
                              logits.begin() + (row + 1) * long(vocabulary));
    std::vector<int> order = reference_order(values);
    double largest = values[size_t(order[0])], sum = 0;
    for (float value : values) sum += std::exp(value - largest);
    auto expect_logprob = [&](float given, int token) {
      const double expected = values[size_t(token)] - largest - std::log(sum);
      if (std::isinf(expected))
        EXPECT(given == expected);
      else
        EXPECT(std::abs(given - expected) <= 3e-7 + 1e-6 * std::abs(expected));
    };
    const int token = chosen[size_t(row)];
    EXPECT(failures[size_t(row)] == GPI_KERNEL_SAMPLED);
    expect_logprob(logprobs[size_t(row)], token);
    EXPECT(order[size_t(ranks[size_t(row)] - 1)] == token);
    for (int place = 0; place < top; ++place) {
      const size_t at = size_t(row * top + place);
      EXPECT(top_tokens[at] == order[size_t(place)]);
      expect_logprob(top_logprobs[at], order[size_t(place)]);
    }
  }
}

TEST("sampling: log-probabilities, ranks and the most likely tokens") {
  test_logprobs(1, 1);
  test_logprobs(75, 0);
  test_logprobs(75, 5);
  test_logprobs(75, 75);
  test_logprobs(1500, 20);
}

TEST("sampling: log-probabilities of chosen rows are those of all rows") {
  const int rows = 5, vocabulary = 75, top = 3;
  std::vector<float> logits;
  for (uint64_t row = 0; row < rows; ++row) {
    auto values = random_logits(vocabulary, row);
    logits.insert(logits.end(), values.begin(), values.end());
  }
  DeviceArray<float> input("logits", logits);
  DeviceArray<int32_t> tokens("tokens", std::vector<int32_t>{4, 70, 0, 33, 74});
  auto computed = [&](std::vector<int32_t> sources) {
    const size_t count = sources.empty() ? rows : sources.size();
    DeviceArray<int32_t> source_array("sources", sources.empty() ? std::vector<int32_t>{0} : sources);
    DeviceArray<float> logprobs("logprobs", count), top_logprobs("top logprobs", count * top);
    DeviceArray<int32_t> ranks("ranks", count), top_tokens("top tokens", count * top);
    DeviceArray<int32_t> failures("failures", count);
    simt::Stream stream;
    EXPECT(token_logprobs(&stream,
                          {GPI_KERNEL_FLOAT32, int(count), vocabulary, top, input.data(), vocabulary,
                           sources.empty() ? nullptr : source_array.data(), tokens.data(), logprobs.data(),
                           ranks.data(), top_tokens.data(), top_logprobs.data(), failures.data()}) == 0);
    std::vector<std::vector<double>> result(count);
    for (size_t i = 0; i < count; ++i) {
      result[i] = {logprobs[i], double(ranks[i])};
      for (size_t j = i * top; j < (i + 1) * top; ++j) {
        result[i].insert(result[i].end(), {double(top_tokens[j]), top_logprobs[j]});
      }
    }
    return result;
  };
  const auto all = computed({});
  const std::vector<int32_t> sources = {4, 1, 2};
  const auto some = computed(sources);
  for (size_t i = 0; i < sources.size(); ++i) EXPECT(some[i] == all[size_t(sources[i])]);
}

TEST("sampling: sampled tokens take the places of those that were not known") {
  for (int count : {1, 128, 129, 300}) {
    std::vector<int32_t> sources, given, sampled;
    for (int i = 0; i < count; ++i) {
      sources.push_back(i % 3 == 1 ? -1 : (i * 7) % count);
      given.push_back(1000 + i);
      sampled.push_back(5000 + i);
    }
    DeviceArray<int32_t> source_array("sources", sources), sampled_array("sampled", sampled),
        tokens("tokens", given);
    const FeedArguments arguments = {GPI_KERNEL_FLOAT32, count, source_array.data(), sampled_array.data(),
                                     tokens.data()};
    expect_same_bits(
        "feed",
        [&](Stream stream) {
          std::memcpy(tokens.data(), given.data(), given.size() * sizeof(int32_t));
          return feed_tokens(stream, arguments);
        },
        [&] { return tokens.bytes(); });
    for (size_t i = 0; i < given.size(); ++i) {
      EXPECT(tokens[i] == (sources[i] < 0 ? given[i] : 5000 + sources[i]));
    }
  }
  EXPECT(feed_tokens(nullptr, {GPI_KERNEL_FLOAT32, 0, nullptr, nullptr, nullptr}) == 0);
  EXPECT(feed_tokens(nullptr, {GPI_KERNEL_FLOAT32, -1, nullptr, nullptr, nullptr}) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

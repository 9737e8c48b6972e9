// From logits to tokens: the kernels against the scheme written out plainly, token for token.

#include "sampling/philox.h"
#include "sampling/portable_math.h"
#include "tests/sampler_reference.h"
#include "tests/support.h"

namespace gpu::test {
namespace {

TEST("sampling: noise and weights have the bits of the CPU's") {
  // The same as in Tests/GenerationTests/Sampling/PortableMathTests.swift.
  const uint32_t words[] = {0, 1, 0x3fffffff, 0x40000000, 0x80000000, 0xdeadbeef, 0xffffffff};
  const uint32_t noise[] = {1102511529, 1101935539, 1067415969, 1067415969,
                            1052485525, 3208012574, 3225965013};
  for (int i = 0; i < 7; ++i) {
    EXPECT(bits_of(portable_gumbel(words[i])) == noise[i]);
    EXPECT(portable_gumbel(words[i]) <= portable_gumbel_bound(leading_zeros(words[i])));
  }
  const float exponents[] = {0, -0.5f, -1, -10.25f, -27};
  const uint64_t weights[] = {1099511627776, 666887520256, 404487733248, 38875984, 2};
  for (int i = 0; i < 5; ++i) EXPECT(portable_weight(exponents[i]) == weights[i]);
  // Random123's kat_vectors, philox4x32 with 10 rounds.
  PhiloxBlock block = philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822u);
  EXPECT(block.word[0] == 0xd16cfe09 && block.word[1] == 0x94fdcceb);
  EXPECT(block.word[2] == 0x5001e420 && block.word[3] == 0x24126ea1);
}

struct SamplingCase {
  std::vector<float> logits;
  SamplingRow settings;
};

void test_sampling(const char* what, const std::vector<SamplingCase>& cases, int padding = 0) {
  const int vocabulary = int(cases[0].logits.size()), stride = vocabulary + padding;
  std::vector<float> logits;
  std::vector<SamplingRow> settings;
  for (const SamplingCase& c : cases) {
    logits.insert(logits.end(), c.logits.begin(), c.logits.end());
    logits.resize(logits.size() + size_t(padding), NAN);
    settings.push_back(c.settings);
    settings.back().row = int(settings.size()) - 1;
  }
  // Neither settings nor results need be in the order of the logits.
  for (size_t i = 0; i + 1 < settings.size(); i += 2) std::swap(settings[i], settings[i + 1]);
  for (SamplingRow& row : settings) row.target = int(cases.size()) - 1 - row.row;
  logits.resize(logits.size() - size_t(padding));
  DeviceArray<float> device_logits("logits", logits);
  DeviceArray<SamplingRow> device_settings("settings", settings);
  DeviceArray<int32_t> tokens("tokens", cases.size());
  DeviceArray<int32_t> failures("failures", cases.size());
  const SamplingArguments arguments = {
      GPI_KERNEL_FLOAT32,     int(cases.size()), vocabulary,    device_logits.data(), stride,
      device_settings.data(), nullptr,           tokens.data(), failures.data()};
  expect_same_bits(
      what, [&](Stream stream) { return sample(stream, arguments); },
      [&] {
        auto bytes = tokens.bytes(), more = failures.bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
        return bytes;
      });
  for (size_t i = 0; i < cases.size(); ++i) {
    const int expected = reference_token(cases[i].logits, cases[i].settings);
    const size_t target = cases.size() - 1 - i;
    const int given = failures[target] == GPI_KERNEL_SAMPLED ? tokens[target] : -1 - int(failures[target]);
    if (given == expected) continue;
    fail(__FILE__, __LINE__,
         std::string(what) + ": row " + std::to_string(i) + " gives " + std::to_string(given) +
             ", expected " + std::to_string(expected));
  }
}

SamplingRow drawn(uint64_t seed, float temperature = 1, int top_k = 0, float top_p = 1, float min_p = 0) {
  return {seed * 0x9e3779b97f4a7c15u,
          uint32_t(seed % 3),
          uint32_t(seed * 7),
          temperature,
          top_p,
          min_p,
          top_k,
          0,
          0};
}

TEST("sampling: the largest logit, by the lower id") {
  std::vector<SamplingCase> cases;
  for (uint64_t seed = 0; seed < 5; ++seed) cases.push_back({random_logits(301, seed), drawn(seed, 0)});
  test_sampling("greedy", cases, 3);
}

TEST("sampling: the race over whole rows, and what min_p leaves") {
  for (size_t vocabulary : {size_t(1), size_t(5), size_t(64), size_t(2500)}) {
    std::vector<SamplingCase> cases;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const float temperature = seed % 3 == 0 ? 1.0f : seed % 3 == 1 ? 0.7f : 3.0f;
      // A high one leaves out tokens that would win.
      const float min_p = seed < 5 ? 0.0f : seed % 2 == 1 ? 0.9f : 0.1f;
      cases.push_back({random_logits(vocabulary, seed), drawn(seed, temperature, 0, 1, min_p)});
    }
    test_sampling("race", cases);
  }
}

TEST("sampling: top-k, with ties at the edge") {
  std::vector<SamplingCase> cases;
  for (int k : {1, 2, 7, 150, 298, 299, 1000}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      cases.push_back({random_logits(299, seed), drawn(uint64_t(k) + seed, 1.5f, k)});
    }
  }
  test_sampling("top-k", cases, 1);
}

TEST("sampling: top-p, alone and after top-k and min_p") {
  std::vector<SamplingCase> cases;
  for (float p : {0.0f, 0.1f, 0.5f, 0.9f, 0.99999994f}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      cases.push_back({random_logits(300, seed), drawn(seed, 0.9f, 0, p)});
      cases.push_back({random_logits(300, seed), drawn(seed, 1.1f, 20, p, seed % 2 ? 0.05f : 0)});
    }
  }
  test_sampling("top-p", cases);
}

TEST("sampling: more ties than the list holds") {
  std::vector<SamplingCase> cases;
  for (uint64_t kind : {2, 3, 4}) {
    cases.push_back({random_logits(2600, kind), drawn(kind, 1, 1100)});
    cases.push_back({random_logits(2600, kind), drawn(kind, 2, 0, 0.6f)});
  }
  test_sampling("ties", cases);
}

TEST("sampling: rows that cannot be drawn from fail, the others do not") {
  std::vector<SamplingCase> cases;
  for (int i = 0; i < 6; ++i) cases.push_back({random_logits(70, 5), drawn(uint64_t(i), i == 3 ? 0 : 1)});
  cases[1].logits[66] = cases[1].logits[40] = NAN;
  cases[2].logits[69] = INFINITY;
  cases[3].logits.assign(70, -INFINITY);
  cases[4].settings.temperature = 1e-4f;
  cases[4].logits[3] = 3e38f;
  test_sampling("failures", cases);
}

TEST("sampling: a row gives the same token whatever the others are") {
  std::vector<SamplingCase> cases;
  for (uint64_t seed = 0; seed < 4; ++seed)
    cases.push_back({random_logits(90, 5 * seed), drawn(seed, 1, 30)});
  test_sampling("together", cases);
  for (const SamplingCase& c : cases) test_sampling("alone", {c});
}

TEST("sampling: masks, biases and penalties") {
  for (int vocabulary : {1, 97, 2052}) {
    const int rows = 4;
    simt::Random random(91);
    std::vector<RowSettings> settings(rows);
    std::vector<float> logits;
    std::vector<LogitsRow> device_rows;
    std::vector<uint32_t> masks;
    std::vector<LogitEdit> edits;
    std::vector<SeenToken> seen;
    std::vector<std::vector<float>> expected;
    std::vector<int32_t> fresh_tokens = {-9, -9, -9, int32_t(vocabulary - 1)};
    for (int row = 0; row < rows; ++row) {
      RowSettings& s = settings[size_t(row)];
      LogitsRow r = {-1, int(edits.size()), 0, int(seen.size()), 0, 1, 0, 0, row, -1};
      if (row % 2 == 1) {
        s.allowed.resize(size_t(vocabulary));
        r.mask = int(masks.size()) / mask_stride(vocabulary);
        masks.resize(masks.size() + size_t(mask_stride(vocabulary)));
        for (int token = 0; token < vocabulary; ++token) {
          s.allowed[size_t(token)] = random.below(3) > 0;
          if (!s.allowed[size_t(token)]) continue;
          masks[size_t(r.mask * mask_stride(vocabulary) + token / 32)] |= 1u << (token % 32);
        }
      }
      if (row > 0) {
        s.repetition = r.repetition = 1.3f;
        s.frequency = r.frequency = 0.7f;
        s.presence = r.presence = 0.3f;
        for (int i = 0; i < vocabulary / 2 + 1; ++i) {
          s.edits[int(random.below(uint32_t(vocabulary)))] = i % 3 == 0 ? -INFINITY : float(i) * 0.37f;
          s.seen[int(random.below(uint32_t(vocabulary)))] = int(random.below(4));
        }
      }
      // Row 2's last token is in the list, row 3's is not, if the vocabulary is large enough for one to be
      // missing.
      std::map<int, int> listed = s.seen;
      if (row >= 2) {
        const int token = row == 2 ? listed.rbegin()->first : fresh_tokens[3];
        if (row == 3) listed.erase(token), s.seen.erase(token);
        fresh_tokens[size_t(row)] = token;
        r.fresh = row;
        // It can be seen.
        s.edits.erase(token);
        if (row == 3) {
          s.allowed[size_t(token)] = true;
          masks[size_t(r.mask * mask_stride(vocabulary) + token / 32)] |= 1u << (token % 32);
        }
        s.seen[token] += 1;
      }
      for (auto [token, addend] : s.edits) edits.push_back({token, addend}), r.edits += 1;
      for (auto [token, count] : listed) seen.push_back({token, count}), r.seen += 1;
      device_rows.push_back(r);
      auto row_logits = random_logits(size_t(vocabulary), uint64_t(row));
      expected.push_back(reference_logits(row_logits, s));
      logits.insert(logits.end(), row_logits.begin(), row_logits.end());
    }
    DeviceArray<float> input("logits", logits), output("output", logits.size());
    DeviceArray<LogitsRow> rows_array("rows", device_rows);
    DeviceArray<uint32_t> masks_array("masks", masks);
    DeviceArray<LogitEdit> edits_array("edits", edits);
    DeviceArray<SeenToken> seen_array("seen", seen);
    DeviceArray<int32_t> fresh_array("fresh", fresh_tokens), broken("broken", size_t(rows));
    LogitsArguments arguments = {GPI_KERNEL_FLOAT32, rows,
                                 vocabulary,         input.data(),
                                 vocabulary,         output.data(),
                                 vocabulary,         rows_array.data(),
                                 masks_array.data(), edits_array.data(),
                                 seen_array.data(),  fresh_array.data(),
                                 broken.data()};
    for (bool in_place : {false, true}) {
      if (in_place) arguments.output = input.data();
      expect_same_bits(
          "constraints",
          [&](Stream stream) {
            std::memcpy(input.data(), logits.data(), logits.size() * sizeof(float));
            return process_logits(stream, arguments);
          },
          [&] { return in_place ? input.bytes() : output.bytes(); });
      for (int row = 0; row < rows; ++row) {
        EXPECT(broken[size_t(row)] == -1);
        for (int token = 0; token < vocabulary; ++token) {
          const size_t at = size_t(row * vocabulary + token);
          EXPECT((in_place ? input : output)[at] == expected[size_t(row)][size_t(token)]);
        }
      }
    }

    // Only some rows, in another order.
    std::memcpy(input.data(), logits.data(), logits.size() * sizeof(float));
    const int chosen[] = {3, 1};
    for (size_t i = 0; i < 2; ++i) rows_array[i] = device_rows[size_t(chosen[i])];
    arguments.rows = 2;
    arguments.input = input.data();
    arguments.output = output.data();
    simt::Stream stream;
    EXPECT(process_logits(&stream, arguments) == 0);
    for (size_t i = 0; i < 2; ++i) {
      for (int token = 0; token < vocabulary; ++token) {
        EXPECT(output[i * size_t(vocabulary) + size_t(token)] == expected[size_t(chosen[i])][size_t(token)]);
      }
    }
  }
}

TEST("sampling: a mask of more tokens than a tile holds") {
  // Two whole tiles of 2^18 tokens, and a third that ends within a word and within 16 bytes of words.
  const int vocabulary = (1 << 19) + 97, last = vocabulary - 1;
  const int allowed[] = {0, 31, (1 << 18) - 1, 1 << 18, (1 << 18) + 40, (1 << 19) - 1, 1 << 19, last};
  // The row's end is all of it that is there: what follows is out of bounds.
  std::vector<uint32_t> mask(size_t(vocabulary + 31) / 32);
  for (int token : allowed) mask[size_t(token / 32)] |= 1u << (token % 32);
  DeviceArray<float> logits("logits", std::vector<float>(size_t(vocabulary), 0.5f));
  DeviceArray<LogitsRow> rows("rows", std::vector<LogitsRow>{{0, 0, 0, 0, 0, 1, 0, 0, 0, -1}});
  DeviceArray<uint32_t> masks("masks", mask);
  DeviceArray<int32_t> broken("broken", 1);
  simt::Stream stream;
  const LogitsArguments arguments = {
      GPI_KERNEL_FLOAT32, 1,           vocabulary,   logits.data(), vocabulary, logits.data(),
      vocabulary,         rows.data(), masks.data(), nullptr,       nullptr,    nullptr,
      broken.data()};
  if (process_logits(&stream, arguments) != 0) return fail(__FILE__, __LINE__, stream.fault);
  const int* next = allowed;
  for (int token = 0; token < vocabulary; ++token) {
    const bool is_allowed = next != std::end(allowed) && *next == token;
    if (is_allowed) ++next;
    if (logits[size_t(token)] == (is_allowed ? 0.5f : -INFINITY)) continue;
    fail(__FILE__, __LINE__, "token " + std::to_string(token));
    break;
  }
}

TEST("sampling: a broken logit that a mask hides still fails the row") {
  DeviceArray<float> logits("logits", std::vector<float>{1, 2, NAN, 4, INFINITY});
  DeviceArray<LogitsRow> rows("rows", std::vector<LogitsRow>{{0, 0, 0, 0, 0, 1, 0, 0, 0, -1}});
  DeviceArray<uint32_t> masks("masks", std::vector<uint32_t>{0x0b});
  DeviceArray<SamplingRow> settings("settings", std::vector<SamplingRow>{drawn(1)});
  DeviceArray<int32_t> broken("broken", 1), tokens("tokens", 1);
  DeviceArray<int32_t> failures("failures", 1);
  simt::Stream stream;
  EXPECT(process_logits(&stream, {GPI_KERNEL_FLOAT32, 1, 5, logits.data(), 5, logits.data(), 5, rows.data(),
                                  masks.data(), nullptr, nullptr, nullptr, broken.data()}) == 0);
  EXPECT(sample(&stream, {GPI_KERNEL_FLOAT32, 1, 5, logits.data(), 5, settings.data(), broken.data(),
                          tokens.data(), failures.data()}) == 0);
  EXPECT(broken[0] == 2 && tokens[0] == 2 && failures[0] == GPI_KERNEL_NOT_FINITE);
}

TEST("sampling: what cannot be computed is refused, and no rows are no work") {
  EXPECT(sample(nullptr, {GPI_KERNEL_FLOAT32, 0, 5, nullptr, 5, nullptr, nullptr, nullptr, nullptr}) == 0);
  EXPECT(sample(nullptr, {GPI_KERNEL_FLOAT32, 1, 0, nullptr, 5, nullptr, nullptr, nullptr, nullptr}) ==
         invalid_arguments);
  EXPECT(sample(nullptr, {GPI_KERNEL_FLOAT32, 1, 1 << 20, nullptr, 1 << 20, nullptr, nullptr, nullptr,
                          nullptr}) == invalid_arguments);
  EXPECT(sample(nullptr, {GPI_KERNEL_FLOAT32, -1, 5, nullptr, 5, nullptr, nullptr, nullptr, nullptr}) ==
         invalid_arguments);
  EXPECT(sample(nullptr, {GPI_KERNEL_FLOAT32, 1, 5, nullptr, 4, nullptr, nullptr, nullptr, nullptr}) ==
         invalid_arguments);
  LogitsArguments process = {};
  process.vocabulary = process.input_stride = process.output_stride = 5;
  EXPECT(process_logits(nullptr, process) == 0);
  process.output_stride = 4;
  EXPECT(process_logits(nullptr, process) == invalid_arguments);
  LogprobArguments logprobs = {};
  logprobs.vocabulary = 2000;
  logprobs.stride = 2000;
  EXPECT(token_logprobs(nullptr, logprobs) == 0);
  logprobs.top = most_logprobs + 1;
  EXPECT(token_logprobs(nullptr, logprobs) == invalid_arguments);
  logprobs.vocabulary = 5;
  logprobs.top = 6;
  EXPECT(token_logprobs(nullptr, logprobs) == invalid_arguments);
}

TEST("sampling: draws follow the distribution") {
  // Chi-square of 100,000 draws from five tokens; 18.5 is passed once in a thousand times.
  const std::vector<float> row = {0.5f, -1, 2, 0, 1.25f};
  double sum = 0, counts[5] = {}, chi = 0;
  for (float logit : row) sum += std::exp(double(logit));
  const int draws = 100000;
  for (int i = 0; i < draws; ++i) counts[reference_token(row, {7, 0, uint32_t(i), 1, 1, 0, 0, 0, 0})] += 1;
  for (int i = 0; i < 5; ++i) {
    const double expected = draws * std::exp(double(row[size_t(i)])) / sum;
    chi += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT(chi < 18.5);
}

}  // namespace
}  // namespace gpu::test

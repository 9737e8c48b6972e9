// Runs the conformance probes under the emulation, for comparing them with plain computations.
#pragma once

#include <string>
#include <vector>

#include "conformance/probe.h"
#include "tests/support.h"

namespace gpu::test {

using Words = std::vector<uint32_t>;

inline conformance::ProbeArguments arguments_of(const conformance::Probe& probe, const uint32_t* input,
                                                uint32_t* output) {
  conformance::ProbeArguments arguments = {input, output, {}};
  std::memcpy(arguments.variation, probe.variation, sizeof probe.variation);
  return arguments;
}

inline Words inputs_of(const conformance::Probe& probe, uint64_t seed) {
  Words input(size_t(probe.description.input_words));
  conformance::Random random(seed);
  probe.fill(probe, random, input.data());
  return input;
}

/// Runs those probes whose names begin with `prefix` in every way with several seeds, and gives each one's
/// input and output to `check`.
inline void for_each_probe(
    const std::vector<conformance::Probe>& probes, const std::string& prefix,
    const std::function<void(const conformance::Probe&, const Words&, const Words&)>& check) {
  int found = 0;
  for (const conformance::Probe& probe : probes) {
    const std::string name = probe.description.name;
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    ++found;
    for (uint64_t seed : {1, 2}) {
      const Words words = inputs_of(probe, seed);
      DeviceArray<uint32_t> input("input", words), output("output", size_t(probe.description.output_words));
      expect_same_bits(
          name,
          [&](Stream stream) {
            return probe.launch(stream, probe, arguments_of(probe, input.data(), output.data()));
          },
          [&] { return output.bytes(); });
      check(probe, words, Words(output.data(), output.data() + output.size()));
    }
  }
  if (found == 0) fail(__FILE__, __LINE__, "there is no probe " + prefix);
}

inline void expect_words(const conformance::Probe& probe, const Words& found, const Words& expected) {
  EXPECT(found.size() == expected.size());
  for (size_t i = 0; i < found.size() && i < expected.size(); ++i) {
    if (found[i] == expected[i]) continue;
    char text[160];
    std::snprintf(text, sizeof text, "%s: word %zu is %08x, expected %08x", probe.description.name, i,
                  found[i], expected[i]);
    return fail(__FILE__, __LINE__, text);
  }
}

/// Element `i` of 16-bit or 8-bit elements that lie in words.
inline uint16_t half_word(const Words& words, size_t i) { return uint16_t(words[i / 2] >> (16 * (i % 2))); }
inline int signed_byte(const Words& words, size_t i) { return int8_t(words[i / 4] >> (8 * (i % 4))); }

inline double element(const Words& words, size_t i, bool half) {
  return half ? to_float(f16{half_word(words, i)}) : to_float(bf16{half_word(words, i)});
}

inline Words slice(const Words& words, size_t first, size_t count) {
  return Words(words.begin() + long(first), words.begin() + long(first + count));
}

/// Sums of a probe of `GPI_PROBE_SUM` within half of its tolerance, and the magnitudes that it gave with
/// them.
inline void expect_sums(const conformance::Probe& probe, const Words& found, const std::vector<double>& sums,
                        const std::vector<double>& magnitudes) {
  EXPECT(found.size() == 2 * sums.size());
  for (size_t i = 0; i < sums.size(); ++i) {
    const double bound = probe.description.tolerance / 2 * magnitudes[i];
    const double given = float_of(found[sums.size() + i]);
    if (std::abs(float_of(found[i]) - sums[i]) <= bound &&
        std::abs(given - magnitudes[i]) <= 1e-5 * magnitudes[i])
      continue;
    char text[200];
    std::snprintf(text, sizeof text, "%s: sum %zu is %.9g (magnitude %.9g), expected %.9g (%.9g)",
                  probe.description.name, i, float_of(found[i]), given, sums[i], magnitudes[i]);
    return fail(__FILE__, __LINE__, text);
  }
}

}  // namespace gpu::test

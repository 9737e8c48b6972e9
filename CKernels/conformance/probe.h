// Whether the primitives of device/ do on a GPU what the emulation says they do.
//
// A probe is a small kernel around one primitive, with inputs that are a function of a seed. Its source is
// compiled for GPUs and for the emulation like any kernel; `gpuinfer verify` runs both on the same inputs and
// compares what they wrote. The tests hold the emulation's half to plain computations.
//
//   input words   one buffer, laid out as the probe's file says
//   output words  one buffer; of a `GPI_PROBE_SUM` the second half are the magnitudes of the first
#pragma once

#include <vector>

#include "device/launch.h"
#include "include/gpi_kernels.h"

namespace gpu::conformance {

/// Inputs that are equal on every machine: SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u) {}

  uint32_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return uint32_t((z ^ z >> 31) >> 32);
  }
  int below(int limit) { return int(next() % uint32_t(limit)); }
  /// In [-1, 1), multiples of 2^-23.
  float real() { return float(int32_t(next()) >> 8) * 0x1p-23f; }

 private:
  uint64_t state_;
};

/// What a probe's kernels take.
struct ProbeArguments {
  const uint32_t* input;
  uint32_t* output;
  /// What distinguishes the probes of a family; each file says its own.
  int variation[4];
};

struct Probe {
  gpi_kernel_probe description;
  int variation[4];
  void (*fill)(const Probe& probe, Random& random, uint32_t* input);
  Status (*launch)(Stream stream, const Probe& probe, const ProbeArguments& arguments);
};

std::vector<Probe> warp_probes();
std::vector<Probe> number_probes();
std::vector<Probe> matrix_probes();
std::vector<Probe> copy_probes();
/// Of sm_89.
std::vector<Probe> matrix_probes_sm89();
/// Of sm_90.
std::vector<Probe> bulk_probes();
std::vector<Probe> warpgroup_probes();
std::vector<Probe> sparse_warpgroup_probes();

inline void fill_bits(const Probe& probe, Random& random, uint32_t* input) {
  for (int i = 0; i < probe.description.input_words; ++i) input[i] = random.next();
}

/// E4M3 of a whole number from -8 to 8.
inline uint32_t whole_float8(Random& random) {
  // 2^e (1 + f / 8) is (e + 7) << 3 | f.
  static constexpr uint32_t sizes[9] = {0x00, 0x38, 0x40, 0x44, 0x48, 0x4a, 0x4c, 0x4e, 0x50};
  const int number = random.below(17) - 8;
  return sizes[number < 0 ? -number : number] | (number < 0 ? 128u : 0u);
}

inline gpi_kernel_probe exact(const char* name, const char* header, int input_words, int output_words,
                              int first_capability = 80) {
  return {name,           header, first_capability,        input_words, output_words,
          GPI_PROBE_BITS, 0,      "every bit is specified"};
}

/// Two rounding errors of float32 for each term and the accumulator, as everywhere in the tests.
constexpr float sum_tolerance(int terms) { return float(2 * (terms + 2)) * 0x1p-24f; }

inline gpi_kernel_probe sum(const char* name, const char* header, int input_words, int output_words,
                            int terms, int first_capability = 80) {
  return {name,
          header,
          first_capability,
          input_words,
          output_words,
          GPI_PROBE_SUM,
          sum_tolerance(terms),
          "neither the order of summation nor the rounding of partial sums is specified"};
}

}  // namespace gpu::conformance

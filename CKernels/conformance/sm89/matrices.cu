// Probes of what device/mma.h has of sm_89.

#include "conformance/fragments.h"
#include "conformance/probe.h"
#include "device/codes8.h"

namespace gpu::conformance {
namespace {

/// input: a [16][32] of 8 bits | b [32][8] | c [16][8]
/// output: d [16][8]
constexpr int a_words = 128, b_words = 64, c_words = 128;

GPU_KERNEL(32, 1)
multiply_kernel(ProbeArguments p) {
  uint32_t a[4], b[2];
  gather_a<uint8_t>(a, p.input, 32);
  gather_b<uint8_t>(b, p.input + a_words);
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = float_of(p.input[a_words + b_words + place_of_d(i)]);
  mma_m16n8k32_e4m3(d, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) p.output[place_of_d(i)] = bits_of(d[i]);
}

/// Numbers whose products and sums few bits hold.
void fill(const Probe&, Random& random, uint32_t* input) {
  for (int i = 0; i < a_words + b_words; ++i) {
    input[i] = 0;
    for (int byte = 0; byte < 4; ++byte) input[i] |= whole_float8(random) << (8 * byte);
  }
  for (int i = 0; i < c_words; ++i) {
    input[a_words + b_words + i] = bits_of(float(random.below(201) - 100));
  }
}

Status launch_product(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {}, multiply_kernel, arguments);
}

}  // namespace

std::vector<Probe> matrix_probes_sm89() {
  return {{exact("mma.e4m3", "mma.h", a_words + b_words + c_words, 128, 89), {}, fill, launch_product}};
}

}  // namespace gpu::conformance

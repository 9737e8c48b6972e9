// Probes of device/ldmatrix.h, mma.h and mma_sparse.h.
//
// Fragments are gathered from plain matrices by the maps that the headers draw. Whole numbers have products
// and sums that are exact in any order, so that their results are compared bit for bit: a wrong map is a
// wrong bit. Real numbers are summed as the hardware likes.

#include "conformance/fragments.h"
#include "conformance/probe.h"
#include "device/device.h"

namespace gpu::conformance {
namespace {

constexpr int matrix_pitch = 48;

/// variation 0: matrices, 4 or 2; 1: whether transposed.
/// input: a 16 x 16 matrix of 16 bits [128] | a row of it for each lane, in bits 0-3, and a half, in bit 4
/// [32] output [32][matrices]
GPU_KERNEL(32, 1)
load_kernel(ProbeArguments p) {
  GPU_SHARED(shared);
  const int lane = thread_index();
  for (int i = lane; i < 128; i += 32) {
    reinterpret_cast<uint32_t*>(shared + i / 8 * matrix_pitch)[i % 8] = p.input[i];
  }
  sync_warp();
  const uint32_t place = p.input[128 + lane];
  const SharedAddress row = shared_address(shared) + (place & 15) * matrix_pitch + (place >> 4 & 1) * 16;
  if (p.variation[0] == 4) {
    uint32_t registers[4];
    if (p.variation[1]) {
      load_matrices_transposed(registers, row);
    } else {
      load_matrices(registers, row);
    }
    for (int i = 0; i < 4; ++i) p.output[lane * 4 + i] = registers[i];
  } else {
    uint32_t registers[2];
    if (p.variation[1]) {
      load_matrices_transposed(registers, row);
    } else {
      load_matrices(registers, row);
    }
    for (int i = 0; i < 2; ++i) p.output[lane * 2 + i] = registers[i];
  }
}

enum Element { bfloat16_element, float16_element, int8_element };

/// |c| + Σ |a||b|, what rounding errors are proportional to.
template <class T>
GPU_DEVICE float magnitude(const uint32_t* a, const uint32_t* b, const uint32_t* c, int place, int k_size) {
  float total = fabsf(float_of(c[place]));
  for (int k = 0; k < k_size; ++k) {
    total += fabsf(to_float(reinterpret_cast<const T*>(a)[place / 8 * k_size + k]) *
                   to_float(reinterpret_cast<const T*>(b)[k * 8 + place % 8]));
  }
  return total;
}

/// variation 0: Element; 1: whether real numbers.
/// input: a [16][16] of 16 bits, or [16][32] of 8 | b [k][8] | c [16][8]
/// output: d [16][8] | of real numbers, its magnitudes
constexpr int dense_a = 128, dense_b = 64;

template <class T>
GPU_DEVICE void multiply_dense(const ProbeArguments& p) {
  uint32_t a[4], b[2];
  gather_a<uint16_t>(a, p.input, 16);
  gather_b<uint16_t>(b, p.input + dense_a);
  const uint32_t* c = p.input + dense_a + dense_b;
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = float_of(c[place_of_d(i)]);
  mma_m16n8k16<T>(d, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) {
    p.output[place_of_d(i)] = bits_of(d[i]);
    if (!p.variation[1]) continue;
    p.output[128 + place_of_d(i)] = bits_of(magnitude<T>(p.input, p.input + dense_a, c, place_of_d(i), 16));
  }
}

GPU_KERNEL(32, 1)
multiply_kernel(ProbeArguments p) {
  if (p.variation[0] == bfloat16_element) return multiply_dense<bf16>(p);
  if (p.variation[0] == float16_element) return multiply_dense<f16>(p);
  uint32_t a[4], b[2];
  gather_a<uint8_t>(a, p.input, 32);
  gather_b<uint8_t>(b, p.input + dense_a);
  int32_t d[4];
  for (int i = 0; i < 4; ++i) d[i] = int32_t(p.input[dense_a + dense_b + place_of_d(i)]);
  mma_m16n8k32_s8(d, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) p.output[place_of_d(i)] = uint32_t(d[i]);
}

/// variation 0: Element; 1: selector of the metadata.
/// input: the stored half of a [16][16] of 16 bits, or [16][32] of 8 | b [k][8] | metadata [32]
constexpr int sparse_a = 128, sparse_b = 128;

template <class T>
GPU_DEVICE void multiply_sparse_16(const ProbeArguments& p, float (&d)[4], uint32_t metadata) {
  uint32_t a[4], b[4];
  gather_a<uint16_t>(a, p.input, 16);
  gather_b<uint16_t>(b, p.input + sparse_a);
  if (p.variation[1] == 0) {
    mma_sparse_m16n8k32<T, 0>(d, a, b, metadata);
  } else {
    mma_sparse_m16n8k32<T, 1>(d, a, b, metadata);
  }
}

GPU_KERNEL(32, 1)
multiply_sparse_kernel(ProbeArguments p) {
  const uint32_t metadata = p.input[sparse_a + sparse_b + lane_index()];
  if (p.variation[0] == int8_element) {
    uint32_t a[4], b[4];
    gather_a<uint8_t>(a, p.input, 32);
    gather_b<uint8_t>(b, p.input + sparse_a);
    int32_t d[4] = {};
    mma_sparse_m16n8k64_s8(d, a, b, metadata);
    for (int i = 0; i < 4; ++i) p.output[place_of_d(i)] = uint32_t(d[i]);
    return;
  }
  float d[4] = {};
  if (p.variation[0] == bfloat16_element) {
    multiply_sparse_16<bf16>(p, d, metadata);
  } else {
    multiply_sparse_16<f16>(p, d, metadata);
  }
  for (int i = 0; i < 4; ++i) p.output[place_of_d(i)] = bits_of(d[i]);
}

uint16_t element_bits(Element element, float value) {
  return element == bfloat16_element ? from_float<bf16>(value).bits : from_float<f16>(value).bits;
}

/// 16-bit elements two a word: whole numbers from -8 to 8, or real ones.
void fill_elements(Element element, bool real, Random& random, uint32_t* words, int count) {
  for (int i = 0; i < count; ++i) {
    uint32_t bits[2];
    for (uint32_t& half : bits)
      half = element_bits(element, real ? random.real() : float(random.below(17) - 8));
    words[i] = bits[0] | bits[1] << 16;
  }
}

void fill_dense(const Probe& probe, Random& random, uint32_t* input) {
  const Element element = Element(probe.variation[0]);
  if (element == int8_element) {
    for (int i = 0; i < dense_a + dense_b; ++i) input[i] = random.next();
    for (int i = 0; i < 128; ++i) input[dense_a + dense_b + i] = random.next() % 2001;
    return;
  }
  const bool real = probe.variation[1];
  fill_elements(element, real, random, input, dense_a + dense_b);
  for (int i = 0; i < 128; ++i) {
    input[dense_a + dense_b + i] = bits_of(real ? random.real() : float(random.below(201) - 100));
  }
}

void fill_sparse(const Probe& probe, Random& random, uint32_t* input) {
  const Element element = Element(probe.variation[0]);
  if (element == int8_element) {
    for (int i = 0; i < sparse_a + sparse_b; ++i) input[i] = random.next();
  } else {
    fill_elements(element, false, random, input, sparse_a + sparse_b);
  }
  // Every pair of places in a quad that has a meaning; lanes that are not asked have others.
  static const uint32_t pairs[] = {0x4, 0x8, 0x9, 0xc, 0xd, 0xe};
  for (int i = 0; i < 32; ++i) {
    uint32_t& word = input[sparse_a + sparse_b + i];
    word = 0;
    for (int nibble = 0; nibble < 8; ++nibble) word |= pairs[random.below(6)] << (4 * nibble);
  }
}

Status launch_loads(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{1, 1, 1}, 32, 16 * matrix_pitch}, load_kernel, arguments);
}
Status launch_dense(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {}, multiply_kernel, arguments);
}
Status launch_sparse(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {}, multiply_sparse_kernel, arguments);
}

}  // namespace

std::vector<Probe> matrix_probes() {
  constexpr int dense = dense_a + dense_b + 128, sparse = sparse_a + sparse_b + 32;
  std::vector<Probe> probes = {
      {exact("ldmatrix.x4", "ldmatrix.h", 160, 128), {4, 0}, fill_bits, launch_loads},
      {exact("ldmatrix.x4.trans", "ldmatrix.h", 160, 128), {4, 1}, fill_bits, launch_loads},
      {exact("ldmatrix.x2", "ldmatrix.h", 160, 64), {2, 0}, fill_bits, launch_loads},
      {exact("ldmatrix.x2.trans", "ldmatrix.h", 160, 64), {2, 1}, fill_bits, launch_loads},
      {exact("mma.bf16", "mma.h", dense, 128), {bfloat16_element, 0}, fill_dense, launch_dense},
      {exact("mma.f16", "mma.h", dense, 128), {float16_element, 0}, fill_dense, launch_dense},
      {exact("mma.s8", "mma.h", dense, 128), {int8_element, 0}, fill_dense, launch_dense},
      {sum("mma.bf16.real", "mma.h", dense, 256, 16), {bfloat16_element, 1}, fill_dense, launch_dense},
      {sum("mma.f16.real", "mma.h", dense, 256, 16), {float16_element, 1}, fill_dense, launch_dense},
      {exact("mma.sp.s8", "mma_sparse.h", sparse, 128), {int8_element, 0}, fill_sparse, launch_sparse},
  };
  static const char* const names[2][2] = {{"mma.sp.bf16.0", "mma.sp.bf16.1"},
                                          {"mma.sp.f16.0", "mma.sp.f16.1"}};
  for (int element : {bfloat16_element, float16_element}) {
    for (int selector : {0, 1}) {
      probes.push_back({exact(names[element][selector], "mma_sparse.h", sparse, 128),
                        {element, selector},
                        fill_sparse,
                        launch_sparse});
    }
  }
  return probes;
}

}  // namespace gpu::conformance

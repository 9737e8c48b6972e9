// Probes of device/types.h, packed16.h, rounded.h and math.h.
//
// The payload of a NaN is not specified, so that each NaN result is written as the same one.

#include <cmath>

#include "conformance/probe.h"
#include "device/device.h"

namespace gpu::conformance {
namespace {

constexpr int threads = 256;

GPU_DEVICE uint32_t canonical(float value) { return value != value ? 0x7fc00000u : bits_of(value); }

/// Half of them any bits; of the others the exponent is in the range of float16 or just beside it.
void fill_floats(const Probe& probe, Random& random, uint32_t* input) {
  static const uint32_t special[] = {0,           0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u,
                                     0x00000001u, 0x007fffffu, 0x00800000u, 0x7f7fffffu, 0x477fefffu,
                                     0x477ff000u, 0x33000000u, 0x33000001u, 0x38800000u, 0x3f808000u,
                                     0x3f818000u, 0x3f801000u, 0x3f803000u};
  constexpr int count = int(sizeof special / sizeof *special);
  for (int i = 0; i < probe.description.input_words; ++i) {
    input[i] = random.next();
    if (i % 2 == 0) input[i] = (input[i] & 0x807fffffu) | uint32_t(100 + random.below(46)) << 23;
    if (i < count) input[i] = special[i];
  }
}

/// output [3][n]: bf16 and f16, a pair of bf16, a pair of f16
GPU_KERNEL(threads, 1)
from_float_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index(), count = grid_x() * threads;
  const float x = float_of(p.input[i]), y = float_of(p.input[(i + 1) % count]);
  p.output[i] = uint32_t(from_float<bf16>(x).bits) | uint32_t(from_float<f16>(x).bits) << 16;
  p.output[count + i] = pack<bf16>(x, y);
  p.output[2 * count + i] = pack<f16>(x, y);
}

/// output: float32 of every 16-bit pattern; variation 0: whether float16
GPU_KERNEL(threads, 1)
to_float_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index();
  const uint16_t bits = uint16_t(uint32_t(i) ^ (p.input[0] & 0xffffu));
  p.output[bits] = canonical(p.variation[0] ? to_float(f16{bits}) : to_float(bf16{bits}));
}

/// a · b + c of whole numbers up to 15 in both halves, where nothing is rounded twice.
/// input [3][n], output [n]
template <class T>
GPU_DEVICE void fma_pairs(const ProbeArguments& p, int i, int count) {
  auto pair = [&](int operand) {
    const uint32_t bits = p.input[operand * count + i];
    return pack<T>(float(int(bits % 31)) - 15.0f, float(int(bits / 31 % 31)) - 15.0f);
  };
  p.output[i] = fma_pair<T>(pair(0), pair(1), pair(2));
}

GPU_KERNEL(threads, 1)
fma_pair_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index(), count = grid_x() * threads;
  if (p.variation[0]) {
    fma_pairs<f16>(p, i, count);
  } else {
    fma_pairs<bf16>(p, i, count);
  }
}

/// Codes of a word minus a zero.
/// input: words [n] | zeros [n]; output [4][n]
template <class T>
GPU_DEVICE void take_codes(const ProbeArguments& p, int i, int count) {
  const uint32_t word = p.input[i];
  const auto offsets = CodeOffsets<T>::of(p.input[count + i] % 16);
  p.output[i] = offsets.first(word);
  p.output[count + i] = offsets.second(word);
  p.output[2 * count + i] = offsets.first(word >> 8);
  p.output[3 * count + i] = offsets.second(word >> 8);
}

GPU_KERNEL(threads, 1)
codes_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index(), count = grid_x() * threads;
  if (p.variation[0]) {
    take_codes<f16>(p, i, count);
  } else {
    take_codes<bf16>(p, i, count);
  }
}

/// input [3][n]; output [5][n] of float operations, then [2][n] of a product of doubles
GPU_KERNEL(threads, 1)
rounded_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index(), count = grid_x() * threads;
  const float a = float_of(p.input[i]), b = float_of(p.input[count + i]),
              c = float_of(p.input[2 * count + i]);
  p.output[i] = canonical(add_rn(a, b));
  p.output[count + i] = canonical(subtract_rn(a, b));
  p.output[2 * count + i] = canonical(multiply_rn(a, b));
  p.output[3 * count + i] = canonical(divide_rn(a, b));
  p.output[4 * count + i] = canonical(fma_rn(a, b, c));
  // A product of three integers, rounded twice, cut by exact steps into its highest word and the one below.
  const double product =
      multiply_rn(multiply_rn(double(int32_t(p.input[i])), double(int32_t(p.input[count + i]))),
                  double(int32_t(p.input[2 * count + i])));
  const double high = floor(product * 0x1p-64);
  const double rest = product - high * 0x1p64;
  p.output[5 * count + i] = uint32_t(int32_t(high));
  p.output[6 * count + i] = uint32_t(floor(rest * 0x1p-32));
}

enum Function { exp2_function, tanh_function, rsqrt_function, divide_function };

/// variation 0: Function. input [n] or [2][n], output [n]
GPU_KERNEL(threads, 1)
math_kernel(ProbeArguments p) {
  const int i = block_x() * threads + thread_index(), count = grid_x() * threads;
  const float x = float_of(p.input[i]);
  float y = 0;
  if (p.variation[0] == exp2_function) y = exp2_approximate(x);
  if (p.variation[0] == tanh_function) y = tanh_approximate(x);
  if (p.variation[0] == rsqrt_function) y = reciprocal_sqrt(x);
  if (p.variation[0] == divide_function) y = divide_approximate(x, float_of(p.input[count + i]));
  p.output[i] = canonical(y);
}

void fill_arguments(const Probe& probe, Random& random, uint32_t* input) {
  for (int i = 0; i < probe.description.input_words; ++i) {
    float value = 0;
    switch (probe.variation[0]) {
      case exp2_function:
        // Not where a result may be the smallest normal number or zero.
        do value = random.real() * 150;
        while (std::fabs(value + 126) < 0.01f);
        if (i < 3) value = i == 0 ? -INFINITY : i == 1 ? INFINITY : -1000.0f;
        break;
      case tanh_function:
        value = std::ldexp(random.real(), random.below(24) - 18);
        break;
      default:
        value = std::ldexp(1.5f + 0.5f * random.real(), random.below(100) - 50);
        if (probe.variation[0] == divide_function && random.below(2)) value = -value;
    }
    input[i] = bits_of(value);
  }
}

template <void (*kernel)(ProbeArguments), int blocks>
Status launch_blocks(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{blocks, 1, 1}, threads, 0}, kernel, arguments);
}

gpi_kernel_probe approximate(const char* name, int operands, float tolerance, const char* reason) {
  return {name, "math.h", 80, operands * 1024, 1024, GPI_PROBE_RELATIVE, tolerance, reason};
}

}  // namespace

std::vector<Probe> number_probes() {
  constexpr int blocks = 4, count = blocks * threads;
  const auto math = launch_blocks<math_kernel, blocks>;
  return {
      {exact("convert.from_float", "types.h", count, 3 * count),
       {},
       fill_floats,
       launch_blocks<from_float_kernel, blocks>},
      {exact("convert.from_bf16", "types.h", 1, 65536), {0}, fill_bits, launch_blocks<to_float_kernel, 256>},
      {exact("convert.from_f16", "types.h", 1, 65536), {1}, fill_bits, launch_blocks<to_float_kernel, 256>},
      {exact("packed.fma.bf16", "packed16.h", 3 * count, count),
       {0},
       fill_bits,
       launch_blocks<fma_pair_kernel, blocks>},
      {exact("packed.fma.f16", "packed16.h", 3 * count, count),
       {1},
       fill_bits,
       launch_blocks<fma_pair_kernel, blocks>},
      {exact("packed.codes.bf16", "packed16.h", 2 * count, 4 * count),
       {0},
       fill_bits,
       launch_blocks<codes_kernel, blocks>},
      {exact("packed.codes.f16", "packed16.h", 2 * count, 4 * count),
       {1},
       fill_bits,
       launch_blocks<codes_kernel, blocks>},
      {exact("rounded", "rounded.h", 3 * count, 7 * count),
       {},
       fill_floats,
       launch_blocks<rounded_kernel, blocks>},
      {approximate(
           "math.exp2", 1, 3 * 0x1p-22f,
           "ex2.approx is good to 2^-22 of the result, the emulation with its rounding to 1.5 of that"),
       {exp2_function},
       fill_arguments,
       math},
      {approximate("math.tanh", 1, 0x1.1p-10f,
                   "tanh.approx is good to 2^-11 of the result, and so is the emulation"),
       {tanh_function},
       fill_arguments,
       math},
      {approximate("math.rsqrt", 1, 3 * 0x1p-23f, "rsqrtf is good to 2 units in the last place"),
       {rsqrt_function},
       fill_arguments,
       math},
      {approximate("math.divide", 2, 3 * 0x1p-23f, "__fdividef is good to 2 units in the last place"),
       {divide_function},
       fill_arguments,
       math},
  };
}

}  // namespace gpu::conformance

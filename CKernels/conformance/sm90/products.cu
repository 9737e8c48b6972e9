// Probes of device/wgmma.h and wgmma_codes.h: operands from shared memory in every swizzle, transposed ones,
// a from registers. Of codes of 8 bits two lie where one element of 16 bits would.
//
// input    a [64][32] of 16 bits | b [n][32] | the image of both in shared memory, as the descriptors are to
// read
//          it
// output   d [64][n] | of real numbers, its magnitudes

#include <cstring>

#include "conformance/probe.h"
#include "device/device.h"
#include "device/wgmma_codes.h"

namespace gpu::conformance {
namespace {

constexpr int steps = 2, k_size = 16 * steps, rows = 64;
constexpr int a_words = rows * k_size / 2;

/// What distinguishes the probes.
struct Form {
  /// float16, not bfloat16; of codes E4M3, not int8.
  bool half;
  bool transposed_b;
  bool a_in_registers;
  bool real;
  int n;
  Swizzle swizzle;
  bool codes = false;

  /// Into `variation`, and back.
  static Form of(const int (&variation)[4]) {
    return {(variation[0] & 1) != 0,
            (variation[0] & 2) != 0,
            (variation[0] & 4) != 0,
            (variation[0] & 8) != 0,
            variation[1],
            Swizzle(variation[2]),
            (variation[0] & 16) != 0};
  }
  int flags() const {
    return int(half) | int(transposed_b) << 1 | int(a_in_registers) << 2 | int(real) << 3 | int(codes) << 4;
  }
};

/// Where the operands lie in shared memory, from a multiple of 1024 on: a first, then b.
///
/// k-major, `span` bytes of k a row; k that does not fit goes to a second panel of all rows. Without a
/// swizzle a panel is one 16-byte column of core matrices. Transposed: for one k, `span` bytes of n; further
/// n go to a second panel of all k. Swizzles are written down as the manual's pictures have them: the 16-byte
/// chunk of a row is exchanged with the one whose number differs in the bits of the row.
struct Layout {
  explicit Layout(const Form& form) : f(form), span(swizzle_span(form.swizzle)) {}

  int row_bytes() const { return span > k_size * 2 ? span : k_size * 2; }
  int b_start() const { return rows * row_bytes(); }
  int image_words() const { return (b_start() + f.n * row_bytes()) / 4; }

  int swizzled_place(int row, int byte) const {
    const int chunks = span / 16, rows_a_line = 128 / span;
    return row * span + ((byte / 16) ^ (row / rows_a_line % chunks)) * 16 + byte % 16;
  }
  int k_major_place(int row, int k, int of_rows) const {
    const int panel = k * 2 / span, byte = k * 2 % span;
    return panel * of_rows * span +
           (f.swizzle == Swizzle::none ? row * 16 + byte : swizzled_place(row, byte));
  }
  int b_place(int row, int k) const {
    if (!f.transposed_b) return b_start() + k_major_place(row, k, f.n);
    const int panel = row * 2 / span, byte = row * 2 % span;
    return b_start() + panel * k_size * span + swizzled_place(k, byte);
  }

  // What descriptors say: bytes from eight rows to the next, from panel to panel, and from sixteen k to the
  // next.
  int stride() const { return 8 * span; }
  int a_leading() const { return rows * 16; }
  int b_leading() const { return f.transposed_b ? k_size * span : f.n * 16; }
  int a_advance() const { return span >= 64 ? 32 : 32 / span * rows * span; }
  int b_advance() const {
    if (f.transposed_b) return 16 * span;
    return span >= 64 ? 32 : 32 / span * f.n * span;
  }

  Form f;
  int span;
};

struct WarpgroupArguments {
  const uint32_t* a;
  const uint32_t* b;
  const uint32_t* image;
  int image_words;
  bool a_in_registers;
  bool writes_magnitudes;
  int n;
  int b_start;
  Swizzle swizzle;
  int stride, a_leading, a_advance, b_leading, b_advance;
  uint32_t* output;
};

/// Stands for E4M3.
struct Float8 {};
template <class T>
constexpr bool is_code = std::is_same_v<T, int8_t> || std::is_same_v<T, Float8>;
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;

GPU_DEVICE uint32_t word_of(float sum) { return bits_of(sum); }
GPU_DEVICE uint32_t word_of(int32_t sum) { return uint32_t(sum); }

template <class T, bool transposed_b, int n>
GPU_DEVICE void multiply(const WarpgroupArguments& p, SharedAddress start) {
  const int warp = warp_index(), g = lane_index() / 4, q = lane_index() % 4;
  const uint16_t* plain_a = reinterpret_cast<const uint16_t*>(p.a);
  Sum<T> d[n / 8][4] = {};
  [[maybe_unused]] uint32_t a[steps][4] = {};
  GPU_UNROLL
  for (int i = 0; i < 8 * steps; ++i) {
    const int row = 16 * warp + g + 8 * (i / 2 % 2), k = 2 * q + i % 2 + 8 * (i / 4);
    if (p.a_in_registers) a[i / 8][i / 2 % 4] |= uint32_t(plain_a[row * k_size + k]) << (16 * (i % 2));
  }
  fence_wgmma();
  GPU_UNROLL
  for (int step = 0; step < steps; ++step) {
    const MatrixDescriptor b =
        MatrixDescriptor::of(start + p.b_start + step * p.b_advance, p.stride, p.swizzle, p.b_leading);
    const MatrixDescriptor first = MatrixDescriptor::of(start, p.stride, p.swizzle, p.a_leading);
    if constexpr (is_code<T>) {
      wgmma_codes(d, first.advanced(step * p.a_advance), b, step > 0);
    } else if (p.a_in_registers) {
      wgmma<T, transposed_b>(d, a[step], b, step > 0);
    } else {
      wgmma<T, transposed_b>(d, first.advanced(step * p.a_advance), b, step > 0);
    }
  }
  commit_wgmma();
  wait_wgmma<0>(d);
  GPU_UNROLL
  for (int j = 0; j < n / 8; ++j) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      p.output[(16 * warp + g + 8 * (i / 2)) * n + 8 * j + 2 * q + i % 2] = word_of(d[j][i]);
    }
  }
}

/// A function of its own, so that the products' registers are gone.
template <class T>
GPU_DEVICE void write_magnitudes(const WarpgroupArguments& p) {
  for (int i = thread_index(); i < rows * p.n; i += 128) {
    float total = 0;
    for (int k = 0; k < k_size; ++k) {
      total += fabsf(to_float(reinterpret_cast<const T*>(p.a)[i / p.n * k_size + k]) *
                     to_float(reinterpret_cast<const T*>(p.b)[i % p.n * k_size + k]));
    }
    p.output[rows * p.n + i] = bits_of(total);
  }
}

template <class T, bool transposed_b>
GPU_KERNEL(128, 1)
warpgroup_kernel(WarpgroupArguments p) {
  GPU_SHARED(shared);
  const SharedAddress address = shared_address(shared), start = (address + 1023) / 1024 * 1024;
  uint32_t* array = reinterpret_cast<uint32_t*>(shared + (start - address));
  for (int i = thread_index(); i < p.image_words; i += 128) array[i] = p.image[i];
  fence_async_proxy();
  sync_block();
  if (p.n == 128) multiply<T, transposed_b, 128>(p, start);
  if constexpr (!is_code<T>) {
    if (p.n == 64) multiply<T, transposed_b, 64>(p, start);
    if (p.n == 96) multiply<T, transposed_b, 96>(p, start);
    if (p.n == 256) multiply<T, transposed_b, 256>(p, start);
    if (p.writes_magnitudes) write_magnitudes<T>(p);
  }
}

void fill_operands(const Probe& probe, Random& random, uint32_t* input) {
  const Form form = Form::of(probe.variation);
  const Layout layout(form);
  const int a_count = rows * k_size, b_count = form.n * k_size;
  std::vector<uint16_t> bits;
  for (int i = 0; i < a_count + b_count; ++i) {
    if (form.codes) {
      bits.push_back(uint16_t(form.half ? whole_float8(random) | whole_float8(random) << 8 : random.next()));
      continue;
    }
    const float value = form.real ? random.real() : float(random.below(17) - 8);
    bits.push_back(form.half ? from_float<f16>(value).bits : from_float<bf16>(value).bits);
  }
  std::vector<uint16_t> image(size_t(2 * layout.image_words()), 0xffff);
  for (int row = 0; row < rows; ++row) {
    for (int k = 0; k < k_size; ++k) {
      image[size_t(layout.k_major_place(row, k, rows) / 2)] = bits[size_t(row * k_size + k)];
    }
  }
  for (int row = 0; row < form.n; ++row) {
    for (int k = 0; k < k_size; ++k) {
      image[size_t(layout.b_place(row, k) / 2)] = bits[size_t(a_count + row * k_size + k)];
    }
  }
  bits.insert(bits.end(), image.begin(), image.end());
  std::memcpy(input, bits.data(), bits.size() * 2);
}

Status launch_product(Stream stream, const Probe& probe, const ProbeArguments& given) {
  const Form form = Form::of(probe.variation);
  const Layout layout(form);
  WarpgroupArguments p = {};
  p.a = given.input;
  p.b = p.a + a_words;
  p.image = p.b + form.n * k_size / 2;
  p.image_words = layout.image_words();
  p.a_in_registers = form.a_in_registers;
  p.writes_magnitudes = form.real;
  p.n = form.n;
  p.b_start = layout.b_start();
  p.swizzle = form.swizzle;
  p.stride = layout.stride();
  p.a_leading = layout.a_leading();
  p.a_advance = layout.a_advance();
  p.b_leading = layout.b_leading();
  p.b_advance = layout.b_advance();
  p.output = given.output;
  auto kernel = form.codes ? (form.half ? warpgroup_kernel<Float8, false> : warpgroup_kernel<int8_t, false>)
                : form.half
                    ? (form.transposed_b ? warpgroup_kernel<f16, true> : warpgroup_kernel<f16, false>)
                    : (form.transposed_b ? warpgroup_kernel<bf16, true> : warpgroup_kernel<bf16, false>);
  constexpr int alignment_slack = 1024;
  return launch(stream, probe.description.name, {{1, 1, 1}, 128, p.image_words * 4 + alignment_slack}, kernel,
                p);
}

Probe product(const char* name, const Form& form) {
  const int input = a_words + form.n * k_size / 2 + Layout(form).image_words(), d = rows * form.n;
  const char* header = form.codes ? "wgmma_codes.h" : "wgmma.h";
  return {form.real ? sum(name, header, input, 2 * d, k_size, 90) : exact(name, header, input, d, 90),
          {form.flags(), form.n, int(form.swizzle)},
          fill_operands,
          launch_product};
}

}  // namespace

std::vector<Probe> warpgroup_probes() {
  constexpr bool bfloat = false, half = true, k_major = false, transposed = true, shared = false,
                 registers = true, whole = false, real = true;
  constexpr Swizzle none = Swizzle::none, s32 = Swizzle::bytes_32, s64 = Swizzle::bytes_64,
                    s128 = Swizzle::bytes_128;
  return {
      product("wgmma.bf16.64.plain", {bfloat, k_major, shared, whole, 64, none}),
      product("wgmma.bf16.64.32", {bfloat, k_major, shared, whole, 64, s32}),
      product("wgmma.bf16.64.64", {bfloat, k_major, shared, whole, 64, s64}),
      product("wgmma.bf16.64.128", {bfloat, k_major, shared, whole, 64, s128}),
      product("wgmma.f16.96.plain", {half, k_major, shared, whole, 96, none}),
      product("wgmma.f16.96.32", {half, k_major, shared, whole, 96, s32}),
      product("wgmma.f16.96.64", {half, k_major, shared, whole, 96, s64}),
      product("wgmma.f16.128.128", {half, k_major, shared, whole, 128, s128}),
      product("wgmma.bf16.256.128", {bfloat, k_major, shared, whole, 256, s128}),
      product("wgmma.bf16.64.128.registers", {bfloat, k_major, registers, whole, 64, s128}),
      product("wgmma.bf16.64.32.transposed", {bfloat, transposed, shared, whole, 64, s32}),
      product("wgmma.bf16.64.64.transposed", {bfloat, transposed, shared, whole, 64, s64}),
      product("wgmma.bf16.64.128.transposed", {bfloat, transposed, shared, whole, 64, s128}),
      product("wgmma.f16.128.32.transposed.registers", {half, transposed, registers, whole, 128, s32}),
      product("wgmma.f16.128.64.transposed.registers", {half, transposed, registers, whole, 128, s64}),
      product("wgmma.f16.128.128.transposed.registers", {half, transposed, registers, whole, 128, s128}),
      product("wgmma.bf16.96.64.transposed.registers", {bfloat, transposed, registers, whole, 96, s64}),
      product("wgmma.bf16.256.128.transposed.registers", {bfloat, transposed, registers, whole, 256, s128}),
      product("wgmma.bf16.128.128.real", {bfloat, k_major, shared, real, 128, s128}),
      product("wgmma.f16.64.128.real", {half, transposed, registers, real, 64, s128}),
      product("wgmma.s8.128.plain", {false, k_major, shared, whole, 128, none, true}),
      product("wgmma.s8.128.64", {false, k_major, shared, whole, 128, s64, true}),
      product("wgmma.s8.128.128", {false, k_major, shared, whole, 128, s128, true}),
      product("wgmma.e4m3.128.32", {true, k_major, shared, whole, 128, s32, true}),
      product("wgmma.e4m3.128.128", {true, k_major, shared, whole, 128, s128, true}),
  };
}

}  // namespace gpu::conformance

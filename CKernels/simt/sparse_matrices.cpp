// mma.sp with ordered metadata. The maps are those of device/mma_sparse.h.

#include "device/types.h"
#include "simt/block.h"

namespace gpu::simt {
namespace {

template <class Accumulator>
struct SparseProduct {
  Accumulator* d;
  const uint32_t* a;
  const uint32_t* b;
  uint32_t metadata;
  int selector;
};

template <class T>
struct Operands;

/// k, the elements of a register, and how fragments give up theirs.
template <class T>
struct Operands16 {
  static constexpr int k = 32, in_register = 2;
  using Accumulator = float;
  static float element(const uint32_t* fragment, int i) {
    return to_float(T{uint16_t(fragment[i / 2] >> (16 * (i % 2)))});
  }
  /// Of a row's quad: the lane of the row's four that holds it, and the place in its register.
  static int lane_of(int, int quad, int selector) { return 2 * selector + quad / 4; }
  static int nibble_of(int upper, int quad) { return 4 * upper + quad % 4; }
};
template <>
struct Operands<bf16> : Operands16<bf16> {};
template <>
struct Operands<f16> : Operands16<f16> {};

template <>
struct Operands<int8_t> {
  static constexpr int k = 64, in_register = 4;
  using Accumulator = int32_t;
  static float element(const uint32_t* fragment, int i) {
    return float(int8_t(fragment[i / 4] >> (8 * (i % 4))));
  }
  static int lane_of(int upper, int quad, int) { return 2 * (quad / 8) + upper; }
  static int nibble_of(int, int quad) { return quad % 8; }
};

/// Sums of products of 8-bit integers over 64 are exact in float.
template <class T>
void multiply(Block& block, int, Rendezvous& met) {
  using Maps = Operands<T>;
  using Argument = SparseProduct<typename Maps::Accumulator>;
  constexpr int k_size = Maps::k, per_register = Maps::in_register, span = 4 * per_register;
  float stored[16][k_size / 2], a[16][k_size] = {}, b[k_size][8];
  for (int lane = 0; lane < warp_size; ++lane) {
    auto& argument = met.argument<Argument>(lane);
    const int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4 * per_register; ++i) {
      const int reg = i / per_register;
      const int column = per_register * q + i % per_register + span * (reg / 2);
      stored[g + 8 * (reg % 2)][column] = Maps::element(argument.a, i);
      b[per_register * q + i % per_register + span * reg][g] = Maps::element(argument.b, i);
    }
  }
  for (int row = 0; row < 16; ++row) {
    const int g = row % 8, upper = row / 8;
    for (int quad = 0; quad < k_size / 4; ++quad) {
      const int selector = met.argument<Argument>(0).selector;
      const int lane = 4 * g + Maps::lane_of(upper, quad, selector);
      const uint32_t nibble =
          met.argument<Argument>(lane).metadata >> (4 * Maps::nibble_of(upper, quad)) & 15;
      const uint32_t first = nibble & 3, second = nibble >> 2;
      if (first >= second) {
        block.fail(met.site, "mma.sp: lane %d has metadata 0x%x for row %d, quad %d: its indices do not rise",
                   lane, nibble, row, quad);
      }
      a[row][4 * quad + int(first)] = stored[row][2 * quad];
      a[row][4 * quad + int(second)] = stored[row][2 * quad + 1];
    }
  }
  for (int lane = 0; lane < warp_size; ++lane) {
    auto& argument = met.argument<Argument>(lane);
    const int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + 8 * (i / 2), column = 2 * q + i % 2;
      float sum = std::is_integral_v<typename Maps::Accumulator> ? 0.0f : float(argument.d[i]);
      for (int k = 0; k < k_size; ++k) sum += a[row][k] * b[k][column];
      if constexpr (std::is_integral_v<typename Maps::Accumulator>) {
        argument.d[i] = int32_t(uint32_t(argument.d[i]) + uint32_t(int32_t(sum)));
      } else {
        argument.d[i] = sum;
      }
    }
  }
  block.statistics.mma += 1;
}

constexpr Operation operations[] = {
    {"mma.sp.m16n8k32.bf16.0", true, false, multiply<bf16>},
    {"mma.sp.m16n8k32.bf16.1", true, false, multiply<bf16>},
    {"mma.sp.m16n8k32.f16.0", true, false, multiply<f16>},
    {"mma.sp.m16n8k32.f16.1", true, false, multiply<f16>},
    {"mma.sp.m16n8k64.s8", true, false, multiply<int8_t>},
};

template <class Accumulator>
void take_part(int kind, Accumulator* d, const uint32_t* a, const uint32_t* b, uint32_t metadata,
               int selector, Site site) {
  SparseProduct<Accumulator> argument = {d, a, b, metadata, selector};
  this_block().meet(operations[kind], full_mask, &argument, site);
}

}  // namespace

void mma_sparse_bf16(float* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, int selector,
                     Site site) {
  take_part(selector, d, a, b, metadata, selector, site);
}
void mma_sparse_f16(float* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, int selector,
                    Site site) {
  take_part(2 + selector, d, a, b, metadata, selector, site);
}
void mma_sparse_s8(int32_t* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, Site site) {
  take_part(4, d, a, b, metadata, 0, site);
}

}  // namespace gpu::simt

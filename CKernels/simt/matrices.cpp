// ldmatrix and mma.sync. The element maps are those of device/ldmatrix.h and device/mma.h.

#include <algorithm>
#include <cstring>
#include <limits>

#include "device/codes8.h"
#include "device/types.h"
#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {
namespace {

struct MatrixLoad {
  uint32_t* registers;
  uint32_t row;
};

/// Shared memory has 32 banks of 4 bytes and reads eight 16-byte rows at once when no two lie in the same
/// four banks of different lines. Counts the additional cycles.
int extra_cycles(const Rendezvous& met, int matrix) {
  int rows_in_column[8] = {};
  for (int row = 0; row < 8; ++row) {
    uint32_t line = static_cast<MatrixLoad*>(met.arguments[8 * matrix + row])->row / 16;
    bool repeated = false;
    for (int other = 0; other < row; ++other) {
      repeated |= static_cast<MatrixLoad*>(met.arguments[8 * matrix + other])->row / 16 == line;
    }
    if (!repeated) rows_in_column[line % 8] += 1;
  }
  return std::max(0, *std::max_element(rows_in_column, rows_in_column + 8) - 1);
}

template <int count, bool transposed>
void load(Block& block, int, Rendezvous& met) {
  block.statistics.matrix_loads += 1;
  for (int matrix = 0; matrix < count; ++matrix) {
    uint16_t element[8][8];
    for (int row = 0; row < 8; ++row) {
      std::memcpy(element[row], block.shared.at(met.argument<MatrixLoad>(8 * matrix + row).row), 16);
    }
    block.statistics.bank_conflicts += extra_cycles(met, matrix);
    for (int lane = 0; lane < warp_size; ++lane) {
      int g = lane / 4, q = lane % 4;
      uint16_t low = transposed ? element[2 * q][g] : element[g][2 * q];
      uint16_t high = transposed ? element[2 * q + 1][g] : element[g][2 * q + 1];
      met.argument<MatrixLoad>(lane).registers[matrix] = uint32_t(low) | uint32_t(high) << 16;
    }
  }
}

constexpr Operation load_operations[2][2] = {
    {{"ldmatrix.x2", true, false, load<2, false>}, {"ldmatrix.x2.trans", true, false, load<2, true>}},
    {{"ldmatrix.x4", true, false, load<4, false>}, {"ldmatrix.x4.trans", true, false, load<4, true>}},
};

template <class Accumulator>
struct Product {
  Accumulator* d;
  const uint32_t* a;
  uint32_t b[2];
};

/// Element `i` of a fragment of `T`, as the type that is multiplied.
template <class T>
float element(const uint32_t* fragment, int i) {
  return to_float(T{uint16_t(fragment[i / 2] >> (16 * (i % 2)))});
}
template <>
float element<int8_t>(const uint32_t* fragment, int i) {
  return float(int8_t(fragment[i / 4] >> (8 * (i % 4))));
}
struct E4M3;
template <>
float element<E4M3>(const uint32_t* fragment, int i) {
  const uint32_t code = fragment[i / 4] >> (8 * (i % 4)) & 255;
  return (code & 127) == float8_nan ? std::numeric_limits<float>::quiet_NaN() : float8_value(code);
}

/// d[16][8] += a[16][K] b[K][8]. Products of 8-bit integers and their sums over 32 are exact in float.
template <class T, class Accumulator, int K>
void multiply(Block& block, int, Rendezvous& met) {
  constexpr int per_register = K / 8;     // elements of T in a register
  constexpr int half = 4 * per_register;  // values of k that one register column spans
  float a[16][K], b[K][8], d[16][8];
  for (int lane = 0; lane < warp_size; ++lane) {
    auto& argument = met.argument<Product<Accumulator>>(lane);
    int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4 * per_register; ++i) {
      int reg = i / per_register, k = per_register * q + i % per_register + half * (reg / 2);
      a[g + 8 * (reg % 2)][k] = element<T>(argument.a, i);
    }
    for (int i = 0; i < 2 * per_register; ++i) {
      b[per_register * q + i % per_register + half * (i / per_register)][g] = element<T>(argument.b, i);
    }
    for (int i = 0; i < 4; ++i) {
      d[g + 8 * (i / 2)][2 * q + i % 2] = std::is_integral_v<Accumulator> ? 0.0f : float(argument.d[i]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < K; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < warp_size; ++lane) {
    auto& argument = met.argument<Product<Accumulator>>(lane);
    int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4; ++i) {
      float sum = d[g + 8 * (i / 2)][2 * q + i % 2];
      if constexpr (std::is_integral_v<Accumulator>) {
        // Wraps around, as the instruction without .satfinite does.
        argument.d[i] = Accumulator(uint32_t(argument.d[i]) + uint32_t(int32_t(sum)));
      } else {
        argument.d[i] = sum;
      }
    }
  }
  block.statistics.mma += 1;
}

constexpr Operation mma_operations[] = {
    {"mma.m16n8k16.bf16", true, false, multiply<bf16, float, 16>},
    {"mma.m16n8k16.f16", true, false, multiply<f16, float, 16>},
    {"mma.m16n8k32.s8", true, false, multiply<int8_t, int32_t, 32>},
    {"mma.m16n8k32.e4m3", true, false, multiply<E4M3, float, 32>},
};

template <class Accumulator>
void take_part(int kind, Accumulator* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site) {
  Product<Accumulator> argument = {d, a, {b0, b1}};
  this_block().meet(mma_operations[kind], full_mask, &argument, site);
}

}  // namespace

void load_matrices(uint32_t* registers, int count, bool transposed, uint32_t row, Site site) {
  Block& block = this_block();
  // The addresses of the upper lanes are not used by a load of two matrices.
  if (block.running().lane() < 8 * count) {
    if (row % 16 != 0)
      block.fail(site, "ldmatrix row at shared address %u, which is not a multiple of 16", row);
    if (!block.shared.contains(row, 16)) {
      block.fail(site, "ldmatrix row at shared address %u (offset %lld), outside of the block's %d bytes",
                 row, static_cast<long long>(row) - SharedMemory::base, block.shared.size());
    }
    if (block.checker) block.checker->access_shared(block, row, 16, false, site);
  }
  MatrixLoad argument = {registers, row};
  block.meet(load_operations[count == 4][transposed], full_mask, &argument, site);
}

void mma_bf16(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site) {
  take_part(0, d, a, b0, b1, site);
}
void mma_f16(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site) {
  take_part(1, d, a, b0, b1, site);
}
void mma_s8(int32_t* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site) {
  take_part(2, d, a, b0, b1, site);
}
void mma_e4m3(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site) {
  take_part(3, d, a, b0, b1, site);
}

}  // namespace gpu::simt

// Gathers the fragments of mma from plain matrices, by the maps that device/mma.h and mma_sparse.h draw.
#pragma once

#include "device/device.h"

namespace gpu::conformance {

/// Where a lane's element i of the accumulators stands in d [16][8].
GPU_DEVICE int place_of_d(int i) {
  return (lane_index() / 4 + 8 * (i / 2)) * 8 + 2 * (lane_index() % 4) + i % 2;
}

/// `count` registers of the column g of b [k][8], in the order of k that both kinds of products have.
template <class Unit, int count>
GPU_DEVICE void gather_b(uint32_t (&b)[count], const uint32_t* matrix) {
  constexpr int per_register = 4 / sizeof(Unit);
  const int g = lane_index() / 4, q = lane_index() % 4;
  for (int reg = 0; reg < count; ++reg) {
    b[reg] = 0;
    for (int i = 0; i < per_register; ++i) {
      const int k = per_register * q + i + 4 * per_register * reg;
      b[reg] |= uint32_t(reinterpret_cast<const Unit*>(matrix)[k * 8 + g]) << (32 / per_register * i);
    }
  }
}

/// The registers of a [16][columns], or of what is stored of a sparse one.
template <class Unit>
GPU_DEVICE void gather_a(uint32_t (&a)[4], const uint32_t* matrix, int columns) {
  constexpr int per_register = 4 / sizeof(Unit);
  const int g = lane_index() / 4, q = lane_index() % 4;
  for (int reg = 0; reg < 4; ++reg) {
    a[reg] = 0;
    for (int i = 0; i < per_register; ++i) {
      const int column = per_register * q + i + 4 * per_register * (reg / 2), row = g + 8 * (reg % 2);
      a[reg] |= uint32_t(reinterpret_cast<const Unit*>(matrix)[row * columns + column])
                << (32 / per_register * i);
    }
  }
}

}  // namespace gpu::conformance

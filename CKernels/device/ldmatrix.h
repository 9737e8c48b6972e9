// Loads 8x8 matrices of 16-bit elements from shared memory as mma fragments (PTX ISA, ldmatrix; sm_75).
//
//   lane l gives the address of one 16-byte row: row l % 8 of matrix l / 8
//   lane 4g + q receives, of each matrix,       row g, columns 2q and 2q + 1
//                            transposed:        rows 2q and 2q + 1, column g
//
// Conflict free when the eight rows of a matrix lie in eight different 16-byte columns of a 128-byte line.
#pragma once

#include "device/shared.h"

namespace gpu {

/// Four matrices: all 32 lanes give an address.
GPU_DEVICE void load_matrices(uint32_t (&registers)[4], SharedAddress row, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(row)
               : "memory");
#else
  simt::load_matrices(registers, 4, false, row, site);
#endif
}

GPU_DEVICE void load_matrices_transposed(uint32_t (&registers)[4], SharedAddress row,
                                         Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(row)
               : "memory");
#else
  simt::load_matrices(registers, 4, true, row, site);
#endif
}

/// Two matrices: the addresses of lanes 0 to 15 count.
GPU_DEVICE void load_matrices(uint32_t (&registers)[2], SharedAddress row, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(registers[0]), "=r"(registers[1])
               : "r"(row)
               : "memory");
#else
  simt::load_matrices(registers, 2, false, row, site);
#endif
}

GPU_DEVICE void load_matrices_transposed(uint32_t (&registers)[2], SharedAddress row,
                                         Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(registers[0]), "=r"(registers[1])
               : "r"(row)
               : "memory");
#else
  simt::load_matrices(registers, 2, true, row, site);
#endif
}

}  // namespace gpu

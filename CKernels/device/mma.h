// Tensor core products of one warp, d += a · b (PTX ISA, "Matrix multiply-accumulate operation using mma").
//
// With g = lane / 4 and q = lane % 4, element i of a lane's fragment is (two 16-bit or four 8-bit a
// register):
//
//   m16n8k16 16-bit   a[8]  row g + 8 ((i / 2) % 2)   k = 2q + i % 2 + 8 (i / 4)
//                     b[4]  column g                  k = 2q + i % 2 + 8 (i / 2)
//   m16n8k32 8-bit    a[16] row g + 8 ((i / 4) % 2)   k = 4q + i % 4 + 16 (i / 8)
//                     b[8]  column g                  k = 4q + i % 4 + 16 (i / 4)
//   both              d[4]  row g + 8 (i / 2)         column 2q + i % 2
//
// The hardware's order of summation within one instruction is not specified; the emulation sums in order of
// k.
#pragma once

#include "device/types.h"

namespace gpu {

template <class T>
GPU_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                             Site site = Site::here());

template <>
GPU_DEVICE void mma_m16n8k16<bf16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                   Site site) {
#if GPU_ON_DEVICE
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  simt::mma_bf16(d, a, b0, b1, site);
#endif
}

template <>
GPU_DEVICE void mma_m16n8k16<f16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                  Site site) {
#if GPU_ON_DEVICE
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  simt::mma_f16(d, a, b0, b1, site);
#endif
}

GPU_DEVICE void mma_m16n8k32_s8(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  simt::mma_s8(d, a, b0, b1, site);
#endif
}

/// E4M3, summed in float. sm_89 and later.
GPU_DEVICE void mma_m16n8k32_e4m3(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                  Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  simt::mma_e4m3(d, a, b0, b1, site);
#endif
}

}  // namespace gpu

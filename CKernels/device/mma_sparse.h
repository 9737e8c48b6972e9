// Tensor core products of one warp with a 2:4 sparse left operand, d += a · b (PTX ISA, "Matrix
// multiply-accumulate operation using mma.sp"; sm_80).
//
// Of each four neighbours in a row of a, called a quad here, two are stored; a nibble says which, the lower
// index in its low two bits and the higher one above: 0x4 {0,1}, 0x8 {0,2}, 0x9 {1,2}, 0xc {0,3}, 0xd {1,3},
// 0xe {2,3}. Other nibbles are not defined. With g = lane / 4 and q = lane % 4:
//
//   m16n8k32 16-bit   a[8]   the map of the dense m16n8k16 (device/mma.h) over the 16 stored columns
//                     b[8]   column g   k = 2q + i % 2 + 8 (i / 2)
//                     metadata   of the lanes with q / 2 == selector: quads 4 (q % 2) + j,
//                                row g in nibble j, row g + 8 in nibble 4 + j
//   m16n8k64 8-bit    a[16]  the map of the dense m16n8k32 over the 32 stored columns
//                     b[16]  column g   k = 4q + i % 4 + 16 (i / 4)
//                     metadata   of all lanes: row g + 8 (q % 2), quads 8 (q / 2) + j in nibble j
//   both              d[4]   as dense
//
// One register of metadata serves two products of 16-bit elements, with the selectors 0 and 1.
#pragma once

#include "device/types.h"

namespace gpu {

template <class T, int selector>
GPU_DEVICE void mma_sparse_m16n8k32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[4],
                                    uint32_t metadata, [[maybe_unused]] Site site = Site::here()) {
  static_assert(selector == 0 || selector == 1, "two of four lanes give the metadata");
#if GPU_ON_DEVICE
  if constexpr (std::is_same_v<T, bf16>) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]),
          "r"(metadata), "n"(selector));
  } else {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]),
          "r"(metadata), "n"(selector));
  }
#else
  if constexpr (std::is_same_v<T, bf16>) {
    simt::mma_sparse_bf16(d, a, b, metadata, selector, site);
  } else {
    simt::mma_sparse_f16(d, a, b, metadata, selector, site);
  }
#endif
}

GPU_DEVICE void mma_sparse_m16n8k64_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[4],
                                       uint32_t metadata, [[maybe_unused]] Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "mma.sp::ordered_metadata.sync.aligned.m16n8k64.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, 0x0;"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]),
        "r"(metadata));
#else
  simt::mma_sparse_s8(d, a, b, metadata, site);
#endif
}

}  // namespace gpu

// Tensor core products of a warpgroup with a 2:4 sparse left operand in registers, d += a · b (PTX ISA,
// "wgmma.mma_async.sp"; sm_90a).
//
// m64nNk32: a is 64 x 32 with two of every four neighbours of a row stored, b is 32 x N in shared memory.
// Each warp has its own sixteen rows of a: stored elements and metadata lie in its registers as
// mma.sp.m16n8k32 has them (device/mma_sparse.h), of which the selector picks the lanes of metadata.
// Accumulators, ordering and waiting are those of device/wgmma.h.
#pragma once

#include "device/wgmma.h"

namespace gpu {

#if GPU_ON_DEVICE
#define GPU_WGMMA_SPARSE_128(type)                                                                    \
  asm volatile(                                                                                       \
      "{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %70, 0;\n"                                  \
      "wgmma.mma_async.sp.sync.aligned.m64n128k32.f32." type "." type " {" GPU_WGMMA_PLACES_128       \
      "}, {%64, %65, %66, %67}, %68, %69, %71, accumulate, 1, 1, 0;\n}"                               \
      : GPU_WGMMA_OUTPUTS_128("+f")                                                                   \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(metadata), "r"(int(accumulate)), \
        "n"(selector))
#endif

/// Starts d = a · b, or d += a · b where `accumulate`. `b` is k-major.
template <class T, int selector, int tiles>
GPU_DEVICE void wgmma_sparse(float (&d)[tiles][4], const uint32_t (&a)[4], uint32_t metadata,
                             MatrixDescriptor b, bool accumulate, [[maybe_unused]] Site site = Site::here()) {
  static_assert(tiles == 16, "n is 128");
  static_assert(selector == 0 || selector == 1, "two of four lanes give the metadata");
#if GPU_ON_DEVICE
  if constexpr (std::is_same_v<T, bf16>) {
    GPU_WGMMA_SPARSE_128("bf16");
  } else {
    GPU_WGMMA_SPARSE_128("f16");
  }
#else
  simt::Wgmma request = {};
  request.type = std::is_same_v<T, f16> ? simt::MatrixType::float16 : simt::MatrixType::bfloat16;
  request.n = 8 * tiles;
  request.accumulate = accumulate;
  request.d = d;
  request.registers = a;
  request.b = b.bits;
  request.sparse = true;
  request.selector = selector;
  request.metadata = metadata;
  simt::wgmma(request, site);
#endif
}

}  // namespace gpu

// Tensor core products of a warpgroup with codes of 8 bits in shared memory, d += a · b (PTX ISA,
// "wgmma.mma_async"; sm_90a).
//
// m64nNk32: int8 with sums in int32, or E4M3 with sums in float. Both operands are k-major, and 32 k of them
// are as many bytes as 16 k of 16 bits: descriptors and steps along k are those of device/wgmma.h, and so are
// accumulators, ordering and waiting.
#pragma once

#include "device/wgmma.h"

namespace gpu {

#if GPU_ON_DEVICE
#define GPU_WGMMA_CODES_128(types, constraint, scales)                           \
  asm volatile(                                                                  \
      "{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %66, 0;\n"             \
      "wgmma.mma_async.sync.aligned.m64n128k32." types " {" GPU_WGMMA_PLACES_128 \
      "}, %64, %65, accumulate" scales ";\n}"                                    \
      : GPU_WGMMA_OUTPUTS_128(constraint)                                        \
      : "l"(a.bits), "l"(b.bits), "r"(int(accumulate)))
#endif

/// Starts d = a · b, or d += a · b where `accumulate`: int8 with integer sums, which wrap around, and E4M3
/// with float ones.
template <class Sum, int tiles>
GPU_DEVICE void wgmma_codes(Sum (&d)[tiles][4], MatrixDescriptor a, MatrixDescriptor b, bool accumulate,
                            [[maybe_unused]] Site site = Site::here()) {
  static_assert(tiles == 16, "n is 128");
  static_assert(std::is_same_v<Sum, int32_t> || std::is_same_v<Sum, float>, "int8 or E4M3");
#if GPU_ON_DEVICE
  if constexpr (std::is_same_v<Sum, int32_t>) {
    GPU_WGMMA_CODES_128("s32.s8.s8", "+r", "");
  } else {
    GPU_WGMMA_CODES_128("f32.e4m3.e4m3", "+f", ", 1, 1");
  }
#else
  simt::Wgmma request = {};
  request.type = std::is_same_v<Sum, int32_t> ? simt::MatrixType::int8 : simt::MatrixType::float8;
  request.n = 8 * tiles;
  request.accumulate = accumulate;
  request.d = d;
  request.a = a.bits;
  request.b = b.bits;
  simt::wgmma(request, site);
#endif
}

}  // namespace gpu

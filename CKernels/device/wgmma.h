// Tensor core products of a warpgroup, d += a · b, from operands in shared memory (PTX ISA, wgmma; sm_90a).
//
// m64nNk16: a is 64 x 16, b is 16 x N, 16-bit; d is 64 x N in float, spread over the 128 threads of four
// warps whose first is a multiple of four. With w = warp % 4, g = lane / 4, q = lane % 4:
//
//   d[j][i]         row 16w + g + 8 (i / 2)           column 8j + 2q + i % 2
//   a in registers  row 16w + g + 8 ((i / 2) % 2)     k = 2q + i % 2 + 8 (i / 4)     (element i of eight)
//
// that is, each warp has its own sixteen rows in the layout of mma.m16n8k16.
//
// Products run asynchronously. From the start of one to the wait that covers it, nobody may touch its
// accumulators or registers, nor write its operands in shared memory:
//
//   fence_wgmma();            before the first product, and after registers it uses were touched
//   wgmma(...); wgmma(...);   products into the same accumulators run in order
//   commit_wgmma();
//   wait_wgmma<0>(d);
#pragma once

#include "device/shared.h"
#include "device/tensor_map.h"
#include "device/types.h"
#if GPU_ON_DEVICE
#include "device/wgmma_operands.h"
#endif

namespace gpu {

/// Where a matrix lies in shared memory, as wgmma reads it. Rows are those of a, or the columns of b.
///
/// ```
/// k-major: a row's k contiguous.  8 rows form an atom, `swizzle` bytes a row; atoms follow `stride` bytes
/// apart.
///     row r, byte c of k   at  start + r / 8 · stride + r % 8 · span + c
///   none:                  at  start + r / 8 · stride + r % 8 · 16 + c / 16 · leading + c % 16
///
/// transposed (MN-major): for one k, span / 2 rows contiguous, one panel; panels lie `leading` bytes apart.
///     row r, k             at  start + r / (span / 2) · leading + k / 8 · stride + k % 8 · span + r % (span
///     / 2) · 2
/// ```
/// and of the address so found the swizzle's bits are exchanged. `leading` is not used by swizzled k-major
/// matrices. An atom starts at a multiple of 8 spans; to step along k within it, add the bytes to `start`.
struct MatrixDescriptor {
  uint64_t bits;

  /// Bits 0-13 start / 16, 16-29 leading / 16, 32-45 stride / 16, 62-63 swizzle.
  GPU_DEVICE static MatrixDescriptor of(SharedAddress start, int stride, Swizzle swizzle, int leading = 16) {
    // 1 is 128 bytes here, and 3 is 32.
    const uint64_t mode = swizzle == Swizzle::none ? 0 : 4 - uint64_t(swizzle);
    return {uint64_t(start >> 4 & 0x3fff) | uint64_t(leading >> 4) << 16 | uint64_t(stride >> 4) << 32 |
            mode << 62};
  }

  /// The same matrix `bytes` further on, a multiple of 16.
  GPU_DEVICE MatrixDescriptor advanced(int bytes) const { return {bits + uint64_t(bytes >> 4)}; }
};

/// A k-major matrix whose rows are one swizzle span wide.
GPU_DEVICE MatrixDescriptor k_major(SharedAddress start, Swizzle swizzle) {
  return MatrixDescriptor::of(start, 8 * swizzle_span(swizzle), swizzle);
}

/// A transposed matrix in panels one swizzle span wide, `panel_bytes` apart.
GPU_DEVICE MatrixDescriptor transposed(SharedAddress start, Swizzle swizzle, int panel_bytes) {
  return MatrixDescriptor::of(start, 8 * swizzle_span(swizzle), swizzle, panel_bytes);
}

#if GPU_ON_DEVICE
#define GPU_WGMMA_FROM_SHARED(n, type, descriptor_a, descriptor_b, predicate, layout)                    \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %" predicate                          \
               ", 0;\n"                                                                                  \
               "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" GPU_WGMMA_PLACES_##n \
               "}, %" descriptor_a ", %" descriptor_b ", accumulate, 1, 1, 0, %" layout ";\n}"           \
               : GPU_WGMMA_OUTPUTS_##n("+f")                                                             \
               : "l"(a.bits), "l"(b.bits), "r"(int(accumulate)), "n"(int(transposed_b)))

#define GPU_WGMMA_FROM_REGISTERS(n, type, a0, a1, a2, a3, descriptor_b, predicate, layout)               \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %" predicate                          \
               ", 0;\n"                                                                                  \
               "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" GPU_WGMMA_PLACES_##n \
               "}, {%" a0 ", %" a1 ", %" a2 ", %" a3 "}, %" descriptor_b ", accumulate, 1, 1, %" layout  \
               ";\n}"                                                                                    \
               : GPU_WGMMA_OUTPUTS_##n("+f")                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(int(accumulate)),          \
                 "n"(int(transposed_b)))
#endif

/// Starts d = a · b, or d += a · b where `accumulate`. `b` is k-major, or MN-major where `transposed_b`.
template <class T, bool transposed_b, int tiles>
GPU_DEVICE void wgmma(float (&d)[tiles][4], MatrixDescriptor a, MatrixDescriptor b, bool accumulate,
                      Site site = Site::here()) {
  static_assert(tiles == 8 || tiles == 12 || tiles == 16 || tiles == 32, "n is 64, 96, 128 or 256");
#if GPU_ON_DEVICE
  if constexpr (std::is_same_v<T, bf16>) {
    if constexpr (tiles == 8) GPU_WGMMA_FROM_SHARED(64, "bf16", "32", "33", "34", "35");
    if constexpr (tiles == 12) GPU_WGMMA_FROM_SHARED(96, "bf16", "48", "49", "50", "51");
    if constexpr (tiles == 16) GPU_WGMMA_FROM_SHARED(128, "bf16", "64", "65", "66", "67");
    if constexpr (tiles == 32) GPU_WGMMA_FROM_SHARED(256, "bf16", "128", "129", "130", "131");
  } else {
    if constexpr (tiles == 8) GPU_WGMMA_FROM_SHARED(64, "f16", "32", "33", "34", "35");
    if constexpr (tiles == 12) GPU_WGMMA_FROM_SHARED(96, "f16", "48", "49", "50", "51");
    if constexpr (tiles == 16) GPU_WGMMA_FROM_SHARED(128, "f16", "64", "65", "66", "67");
    if constexpr (tiles == 32) GPU_WGMMA_FROM_SHARED(256, "f16", "128", "129", "130", "131");
  }
#else
  simt::Wgmma request = {};
  request.type = std::is_same_v<T, f16> ? simt::MatrixType::float16 : simt::MatrixType::bfloat16;
  request.n = 8 * tiles;
  request.transposed_b = transposed_b;
  request.accumulate = accumulate;
  request.d = d;
  request.a = a.bits;
  request.b = b.bits;
  simt::wgmma(request, site);
#endif
}

/// The same with `a` in registers.
template <class T, bool transposed_b, int tiles>
GPU_DEVICE void wgmma(float (&d)[tiles][4], const uint32_t (&a)[4], MatrixDescriptor b, bool accumulate,
                      Site site = Site::here()) {
  static_assert(tiles == 8 || tiles == 12 || tiles == 16 || tiles == 32, "n is 64, 96, 128 or 256");
#if GPU_ON_DEVICE
  if constexpr (std::is_same_v<T, bf16>) {
    if constexpr (tiles == 8) GPU_WGMMA_FROM_REGISTERS(64, "bf16", "32", "33", "34", "35", "36", "37", "38");
    if constexpr (tiles == 12) GPU_WGMMA_FROM_REGISTERS(96, "bf16", "48", "49", "50", "51", "52", "53", "54");
    if constexpr (tiles == 16)
      GPU_WGMMA_FROM_REGISTERS(128, "bf16", "64", "65", "66", "67", "68", "69", "70");
    if constexpr (tiles == 32)
      GPU_WGMMA_FROM_REGISTERS(256, "bf16", "128", "129", "130", "131", "132", "133", "134");
  } else {
    if constexpr (tiles == 8) GPU_WGMMA_FROM_REGISTERS(64, "f16", "32", "33", "34", "35", "36", "37", "38");
    if constexpr (tiles == 12) GPU_WGMMA_FROM_REGISTERS(96, "f16", "48", "49", "50", "51", "52", "53", "54");
    if constexpr (tiles == 16) GPU_WGMMA_FROM_REGISTERS(128, "f16", "64", "65", "66", "67", "68", "69", "70");
    if constexpr (tiles == 32)
      GPU_WGMMA_FROM_REGISTERS(256, "f16", "128", "129", "130", "131", "132", "133", "134");
  }
#else
  simt::Wgmma request = {};
  request.type = std::is_same_v<T, f16> ? simt::MatrixType::float16 : simt::MatrixType::bfloat16;
  request.n = 8 * tiles;
  request.transposed_b = transposed_b;
  request.accumulate = accumulate;
  request.d = d;
  request.registers = a;
  request.b = b.bits;
  simt::wgmma(request, site);
#endif
}

/// Keeps the compiler from moving accesses to these registers past this point.
template <class Sum, int tiles>
GPU_DEVICE void pin_registers(Sum (&d)[tiles][4]) {
#if GPU_ON_DEVICE
  GPU_UNROLL
  for (int j = 0; j < tiles; ++j) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (std::is_same_v<Sum, float>) {
        asm volatile("" : "+f"(d[j][i])::"memory");
      } else {
        asm volatile("" : "+r"(d[j][i])::"memory");
      }
    }
  }
#else
  (void)d;
#endif
}

/// Orders what the thread did to accumulators and operand registers before the products that follow.
GPU_DEVICE void fence_wgmma(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  simt::fence_wgmma(site);
#endif
}

/// Closes the products since the last call into a group.
GPU_DEVICE void commit_wgmma(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  simt::commit_wgmma(site);
#endif
}

/// Waits until at most `pending` of the latest groups are unfinished; `d` may be touched afterwards.
template <int pending, class Sum, int tiles>
GPU_DEVICE void wait_wgmma(Sum (&d)[tiles][4], Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
#else
  simt::wait_wgmma(pending, site);
#endif
  pin_registers(d);
}

}  // namespace gpu

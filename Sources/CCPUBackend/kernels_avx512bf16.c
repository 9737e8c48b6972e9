// The avx512 build with the processor's bfloat16 dot products and its expansion of 16-bit lanes: Sapphire
// Rapids, Zen 4 and later. Cooper Lake, which has the former only, takes the avx512 build.
#if defined(__x86_64__)
#pragma clang diagnostic ignored "-Wpsabi"  // every function that takes vectors is inlined
#include <immintrin.h>
#pragma clang attribute push(                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi2,avx2,fma,f16c"))), \
    apply_to = function)
#define GPI_KERNELS gpi_kernels_avx512bf16
#define GPI_NATIVE_FLOAT16
#define GPI_NATIVE_AVX512
#define GPI_NATIVE_BFLOAT16_DOT
#define GPI_NATIVE_EXPAND16
#define TILE_M 4
#define TILE_N 6
#define FEW_ROWS 16
#define BLOCK_ROWS 128
#define ROW_GROUP 4
#define PRODUCT_M 8
#define PRODUCT_N 3
#include "build_kernels.h"
#pragma clang attribute pop
#endif

// One zmm holds the sixteen lanes. 4 × 6 accumulators, 6 weights and an input in flight: 31 of the 32
// registers.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang diagnostic ignored "-Wpsabi"  // every function that takes vectors is inlined
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
                             apply_to = function)
#define GPI_KERNELS gpi_kernels_avx512
#define GPI_NATIVE_FLOAT16
#define GPI_NATIVE_AVX512
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

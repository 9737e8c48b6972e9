// Two ymm hold the sixteen lanes: 2 × 3 accumulators of two registers leave four of the 16 for operands.
#if defined(__x86_64__)
#pragma clang diagnostic ignored "-Wpsabi"  // every function that takes vectors is inlined
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define GPI_KERNELS gpi_kernels_avx2
#define GPI_NATIVE_FLOAT16
#define TILE_M 2
#define TILE_N 3
#define FEW_ROWS 4
#define BLOCK_ROWS 64
#define ROW_GROUP 2
#define PRODUCT_M 6
#define PRODUCT_N 1
#include "build_kernels.h"
#pragma clang attribute pop
#endif

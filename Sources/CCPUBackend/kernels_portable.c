// Whatever the compiler was told to build for: NEON on arm64 (four registers for the sixteen lanes), and on
// x86-64 the baseline, where each fused multiply-add is a library call. Slow there, but the same bits.
#pragma clang diagnostic ignored "-Wpsabi"  // every function that takes vectors is inlined
#define GPI_KERNELS gpi_kernels_portable
#if defined(__aarch64__)
#define GPI_NATIVE_FLOAT16
#endif
#define TILE_M 2
#define TILE_N 3
#define FEW_ROWS 4
#define BLOCK_ROWS 64
#define ROW_GROUP 2
#define PRODUCT_M 4
#define PRODUCT_N 1
#include "build_kernels.h"

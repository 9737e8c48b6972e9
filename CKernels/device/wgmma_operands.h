// The operand lists of wgmma's accumulators, which inline assembly wants spelled out. Device only; included
// by device/wgmma.h.
#pragma once

// Placeholders of the first registers.

#define GPU_WGMMA_PLACES_64                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"

#define GPU_WGMMA_PLACES_96 \
  GPU_WGMMA_PLACES_64       \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"

#define GPU_WGMMA_PLACES_128 \
  GPU_WGMMA_PLACES_96        \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

#define GPU_WGMMA_PLACES_256                                                                     \
  GPU_WGMMA_PLACES_128                                                                           \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// The registers themselves, of the array `d[n / 8][4]`; `c` is "+f" of floats, "+r" of integers.
#define GPU_WGMMA_TILE(c, j) c(d[j][0]), c(d[j][1]), c(d[j][2]), c(d[j][3])

#define GPU_WGMMA_OUTPUTS_64(c)                                                           \
  GPU_WGMMA_TILE(c, 0), GPU_WGMMA_TILE(c, 1), GPU_WGMMA_TILE(c, 2), GPU_WGMMA_TILE(c, 3), \
      GPU_WGMMA_TILE(c, 4), GPU_WGMMA_TILE(c, 5), GPU_WGMMA_TILE(c, 6), GPU_WGMMA_TILE(c, 7)

#define GPU_WGMMA_OUTPUTS_96(c)                                                               \
  GPU_WGMMA_OUTPUTS_64(c), GPU_WGMMA_TILE(c, 8), GPU_WGMMA_TILE(c, 9), GPU_WGMMA_TILE(c, 10), \
      GPU_WGMMA_TILE(c, 11)

#define GPU_WGMMA_OUTPUTS_128(c)                                                                \
  GPU_WGMMA_OUTPUTS_96(c), GPU_WGMMA_TILE(c, 12), GPU_WGMMA_TILE(c, 13), GPU_WGMMA_TILE(c, 14), \
      GPU_WGMMA_TILE(c, 15)

#define GPU_WGMMA_OUTPUTS_256(c)                                                                  \
  GPU_WGMMA_OUTPUTS_128(c), GPU_WGMMA_TILE(c, 16), GPU_WGMMA_TILE(c, 17), GPU_WGMMA_TILE(c, 18),  \
      GPU_WGMMA_TILE(c, 19), GPU_WGMMA_TILE(c, 20), GPU_WGMMA_TILE(c, 21), GPU_WGMMA_TILE(c, 22), \
      GPU_WGMMA_TILE(c, 23), GPU_WGMMA_TILE(c, 24), GPU_WGMMA_TILE(c, 25), GPU_WGMMA_TILE(c, 26), \
      GPU_WGMMA_TILE(c, 27), GPU_WGMMA_TILE(c, 28), GPU_WGMMA_TILE(c, 29), GPU_WGMMA_TILE(c, 30), \
      GPU_WGMMA_TILE(c, 31)

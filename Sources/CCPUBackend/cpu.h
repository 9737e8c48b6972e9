// What the drivers share: the object behind the handle, its scratch memory, and sizes of chunks.
#pragma once

#include "include/gpi_cpu.h"
#include "kernels.h"
#include "pool.h"

// Below this many multiply-adds or elements, handing out chunks costs more than it saves.
#define SMALL_PRODUCT (1 << 16)
#define SMALL_ROWS (1 << 14)
// Bytes of weights in one chunk of a matrix-vector product: long enough to stream, short enough to balance.
#define STREAM_BYTES (1 << 20)
// Input rows packed at a time: bounds scratch memory, while weights are read again only once per so many
// rows.
#define PACKED_ROWS 512

struct gpi_cpu {
  const gpi_kernels* kernels;
  gpi_pool* pool;
  char* scratch;
  size_t scratch_bytes;
};

static inline size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }
static inline size_t divide_up(size_t value, size_t step) { return (value + step - 1) / step; }
static inline size_t at_most(size_t value, size_t limit) { return value < limit ? value : limit; }
static inline size_t at_least(size_t value, size_t limit) { return value > limit ? value : limit; }

/// Grows the scratch memory, whose contents last for one operation only. 0 where it could not be had.
int gpi_reserve(gpi_cpu* cpu, size_t bytes);

/// Runs on the caller alone where the work is small.
void gpi_run(gpi_cpu* cpu, gpi_work work, const void* job, size_t chunks, int small);

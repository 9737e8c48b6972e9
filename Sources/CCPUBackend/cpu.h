// What the drivers share: the context behind gpi_cpu, scratch memory, and handing out chunks.
#pragma once

#include "kernels.h"
#include "pool.h"

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

/// Grows the scratch memory, whose contents last for one operation only. 0 where there is not so much.
int gpi_reserve(gpi_cpu* cpu, size_t bytes);

/// Runs on the caller alone where the work is small.
void gpi_run(gpi_cpu* cpu, gpi_work work, const void* job, size_t chunks, int small);

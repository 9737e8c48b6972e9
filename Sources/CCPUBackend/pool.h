// Worker threads that share out the chunks of one job at a time.
#pragma once

#include <stddef.h>

/// Called once for each chunk; `thread` is below the pool's thread count and names scratch memory.
typedef void (*gpi_work)(const void* args, size_t chunk, size_t thread);

typedef struct gpi_pool gpi_pool;

gpi_pool* gpi_pool_create(size_t threads);
void gpi_pool_destroy(gpi_pool* pool);
size_t gpi_pool_threads(const gpi_pool* pool);

/// Runs `work` for chunks 0 ..< chunks, here and on the workers, and returns when all are done. Allocates
/// nothing.
void gpi_pool_run(gpi_pool* pool, gpi_work work, const void* args, size_t chunks);

// The body of one instruction set's build: the including file has defined GPI_KERNELS, the tile sizes and the target.
#include "kernels.h"
#include "vector.h"

#include "linear.h"

#include "attention.h"

#include "rows.h"

const gpi_kernels GPI_KERNELS = {
    .tile_outputs = TILE_N,
    .pack = pack,
    .linear_few = linear_few,
    .linear_many = linear_many,
    .attention = attention,
    .norm = norm,
    .map = map,
    .gather = gather,
};

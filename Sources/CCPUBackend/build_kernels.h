// The body of one instruction set's build. The including file has defined GPI_KERNELS, the tile sizes and the
// target:
//
//   TILE_M, TILE_N   rows by outputs whose accumulators stay in registers
//   FEW_ROWS         up to here widening a weight again for each row tile is cheaper than storing it widened
//   BLOCK_ROWS       rows whose inputs of one run fit the second-level cache
//   ROW_GROUP        attention rows computed side by side
//   PRODUCT_M, PRODUCT_N   rows by vectors of columns of a product's register tile
#include "attention.h"
#include "expand.h"
#include "kernels.h"
#include "linear.h"
#include "rows.h"
#include "solve.h"
#include "sparse_pairs.h"
#include "spqr.h"
#include "statistics.h"
#include "stored.h"
#include "stored_int8.h"
#include "stored_pairs.h"

const gpi_kernels GPI_KERNELS = {
    .tile_outputs = TILE_N,
    .few_rows = FEW_ROWS,
    .pack = pack,
    .linear_few = linear_few,
    .linear_many = linear_many,
    .attention = attention,
    .norm = norm,
    .map = map,
    .gather = gather,
    .stored_pack = stored_pack,
    .stored_linear = stored_linear,
    .stored_pack_pairs = stored_pack_pairs,
    .stored_pairs = stored_pairs,
    .sparse_pack_pairs = sparse_pack_pairs,
    .sparse_pairs = sparse_pairs,
    .stored_round = stored_round,
    .stored_int8 = stored_int8,
    .narrow = narrow,
    .expand = expand_outputs,
    .product_rows = PRODUCT_M,
    .product_columns = PRODUCT_COLUMNS,
    .packed_tiles = PACKED_TILES,
    .pack_product = pack_product,
    .product = outer_product,
    .pair_rows = pair_rows,
    .channels = channels,
    .quantize = quantize,
    .sweep = sweep,
    .spqr = spqr,
};

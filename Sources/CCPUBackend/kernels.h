// The table each instruction set fills, and what the drivers add to the arguments before handing out chunks.
#pragma once

#include <stddef.h>

#include "include/gpi_cpu.h"
#include "include/gpi_solve.h"
#include "include/gpi_stores.h"
#include "pool.h"

/// Inputs are reduced in runs of this many steps of 64 packed bytes (16 float32 or 32 bfloat16); a run's
/// sixteen lanes are summed, then added to the output. A weight tile and an input tile of one run lie in the
/// first-level cache together.
#define GPI_RUN_STEPS 64
/// Channels of one chunk of statistics.
#define GPI_CHANNELS 64
/// Query rows of one attention task at most.
#define GPI_QUERY_ROWS 16

typedef struct {
  const gpi_linear_args* args;
  float* packed;  // [rows, packed_stride]: inputs in steps of 64 bytes, zero padded
  size_t packed_stride;
  char* scratch;  // per thread: one widened weight tile
  size_t scratch_stride;
  size_t chunk_rows;     // input rows of a packing chunk
  size_t chunk_outputs;  // outputs of a product chunk
} gpi_linear_job;

/// A product with a quantised weight: inputs are packed as float32, or rounded to bfloat16 (stored_pairs.h)
/// or integers.
typedef struct {
  const gpi_linear_args* args;
  const gpi_store_args* store;
  size_t per_word;  // codes taken from one word; the order of packed inputs (stored.h)
  float* packed;    // [rows, packed_stride], zero padded to whole blocks
  size_t packed_stride;
  int16_t* rounded;  // [rows, rounded_stride], zero padded to 32
  size_t rounded_stride;
  float* row_scales;  // [rows]
  int32_t* outliers;  // [rows, inputs + 1]: how many, then which stored columns
  char* scratch;      // per thread: an input row, then a decoded weight tile
  size_t scratch_stride;
  size_t chunk_rows;
  size_t chunk_outputs;
} gpi_stored_job;

typedef struct {
  const gpi_attention_args* args;
  const size_t* first_task;  // [sequences + 1]
  size_t task_rows;
  char* scratch;
  size_t scratch_stride;
} gpi_attention_job;

/// For operations on independent rows: `args` is the public argument struct.
typedef struct {
  const void* args;
  size_t chunk_rows;
} gpi_rows_job;

/// Operands of one run of depth, packed as solve.h draws them.
typedef struct {
  const gpi_product_args* args;
  float *packed_a, *packed_b;
  size_t k0, depth;
  size_t row_tiles, column_tiles;
  size_t chunk_tiles;  // row tiles of one chunk
} gpi_product_job;

/// Rows of `source` in pairs (statistics.h).
typedef struct {
  const float* source;
  size_t source_stride, rows, columns;
  uint32_t* target;  // [pairs, columns]
  size_t pairs, chunk_rows;
} gpi_pair_job;

typedef struct {
  const gpi_sweep_args* args;
  char* scratch;  // per thread: [GPI_SWEEP_COLUMNS][16]
  size_t scratch_stride;
} gpi_sweep_job;

typedef struct {
  const gpi_spqr_args* args;
  char* scratch;  // as in gpi_sweep_job
  size_t scratch_stride;
} gpi_spqr_job;

typedef struct {
  size_t tile_outputs;  // weight rows of one register tile
  size_t few_rows;      // the most rows for linear_few
  gpi_work pack;
  gpi_work linear_few;   // weights straight from memory
  gpi_work linear_many;  // weights widened into scratch, then reused
  gpi_work attention;
  gpi_work norm;
  gpi_work map;
  gpi_work gather;
  gpi_work stored_pack;
  gpi_work stored_linear;
  gpi_work stored_pack_pairs;
  gpi_work stored_pairs;
  gpi_work sparse_pack_pairs;
  gpi_work sparse_pairs;
  gpi_work stored_round;
  gpi_work stored_int8;
  gpi_work narrow;
  gpi_work expand;
  size_t product_rows, product_columns;  // of one register tile
  size_t packed_tiles;                   // row tiles of one packing chunk
  gpi_work pack_product;
  gpi_work product;
  gpi_work pair_rows;
  gpi_work channels;
  gpi_work quantize;
  gpi_work sweep;
  gpi_work spqr;
} gpi_kernels;

// One build serves every instruction set.
void gpi_append_rows(const void* job, size_t chunk, size_t thread);
void gpi_rope_rows(const void* job, size_t chunk, size_t thread);

/// Scratch of one thread in an attention task; layout in attention.h.
static inline size_t gpi_attention_scratch(size_t head_dim) {
  size_t padded = (head_dim + 15) / 16 * 16;
  size_t floats = 2 * (16 * padded + 16) + GPI_QUERY_ROWS * (padded + 16 + 16 + 16);
  return (floats * sizeof(float) + 127) / 64 * 64;
}

extern const gpi_kernels gpi_kernels_portable;
#if defined(__x86_64__)
extern const gpi_kernels gpi_kernels_avx2;
extern const gpi_kernels gpi_kernels_avx512;
extern const gpi_kernels gpi_kernels_avx512bf16;
#endif

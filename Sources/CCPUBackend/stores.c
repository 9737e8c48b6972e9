// Cuts products with quantised weights into chunks for the pool.
#include "cpu.h"
#include "include/gpi_stores.h"

/// Whether stored_pairs.h has a product for this.
static int multiplies_pairs(const gpi_linear_args* a, const gpi_store_args* s) {
  int whole = s->groups == 1 || (s->group >= 16 && (s->group & (s->group - 1)) == 0);
  return a->input_type == GPI_BFLOAT16 && s->store == GPI_STORE_INTEGER && (s->bits == 4 || s->bits == 8) &&
         s->zero != GPI_ZERO_REALS && s->rounding == GPI_KEEP && s->group_rows == 1 && whole;
}

/// Whether sparse_pairs.h has one.
static int multiplies_sparse_pairs(const gpi_linear_args* a, const gpi_store_args* s) {
  return a->input_type == GPI_BFLOAT16 && s->store == GPI_STORE_SPARSE && s->bits == 0 &&
         s->value_type == GPI_BFLOAT16 && s->rounding == GPI_KEEP && s->zeroed_count == 0;
}

/// How a product is computed, and how much of what its rows and its tiles need.
typedef struct {
  gpi_work pack, multiply;
  size_t packed_stride;  // floats of a packed row
  size_t row_bytes;      // all that one input row takes
  size_t work_bytes;     // of a thread
  size_t outputs;        // of a tile
} way;

static way way_of(const gpi_kernels* kernels, const gpi_linear_args* a, const gpi_store_args* s,
                  size_t per_word, size_t rounded_stride) {
  const size_t tile = kernels->tile_outputs;
  way w = {.work_bytes = 1024 * at_least(tile, 6) * sizeof(float)};
  if (s->rounding == GPI_INT8_TOKEN || s->rounding == GPI_INT8_TENSOR) {
    w.pack = kernels->stored_round, w.multiply = kernels->stored_int8, w.outputs = 4;
    w.row_bytes = rounded_stride * sizeof(int16_t) + (a->inputs + 1) * sizeof(int32_t) + sizeof(float);
    w.work_bytes = 4 * (rounded_stride * sizeof(int16_t) + s->groups * sizeof(float));
    return w;
  }
  if (multiplies_pairs(a, s)) {
    w.pack = kernels->stored_pack_pairs, w.multiply = kernels->stored_pairs, w.outputs = 3;
    w.packed_stride = divide_up(a->inputs, 16 * per_word) * (per_word / 2 + 1) * 16 + 16;
  } else if (multiplies_sparse_pairs(a, s)) {
    w.pack = kernels->sparse_pack_pairs, w.multiply = kernels->sparse_pairs, w.outputs = tile;
    w.packed_stride = divide_up(a->inputs, 32) * 16 + 16;
    w.work_bytes = GPI_RUN_STEPS * tile * 64;
  } else {
    w.pack = kernels->stored_pack, w.multiply = kernels->stored_linear, w.outputs = tile;
    // A stride that does not map all rows to one cache set.
    w.packed_stride = round_up(a->inputs, 256) + 16;
  }
  w.row_bytes = w.packed_stride * sizeof(float);
  return w;
}

/// At most PACKED_ROWS rows.
static size_t stored_rows(gpi_cpu* cpu, const gpi_linear_args* a, const gpi_store_args* s) {
  size_t threads = gpi_pool_threads(cpu->pool);
  int words = s->store == GPI_STORE_INTEGER || s->store == GPI_STORE_SPQR || s->store == GPI_STORE_CODEBOOK;
  gpi_stored_job job = {.args = a, .store = s};
  job.per_word = words && s->bits != 3 ? 32 / (size_t)s->bits : 1;
  job.rounded_stride = round_up(a->inputs, 32);
  const way w = way_of(cpu->kernels, a, s, job.per_word, job.rounded_stride);
  job.packed_stride = w.packed_stride;
  size_t rows_bytes = round_up(a->rows * w.row_bytes, 64);
  job.scratch_stride = round_up(at_least(a->inputs * sizeof(float), w.work_bytes), 64) + 64;
  size_t bytes = rows_bytes + threads * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  if (w.packed_stride == 0) {
    job.row_scales = (float*)cpu->scratch;
    job.outliers = (int32_t*)(job.row_scales + a->rows);
    job.rounded = (int16_t*)(job.outliers + a->rows * (a->inputs + 1));
  } else {
    job.packed = (float*)cpu->scratch;
  }
  job.scratch = cpu->scratch + rows_bytes;

  job.chunk_rows = at_least(SMALL_ROWS / a->inputs, 1);
  gpi_run(cpu, w.pack, &job, divide_up(a->rows, job.chunk_rows), a->rows * a->inputs < 4 * SMALL_ROWS);
  // Enough chunks that a slow core does not keep the others waiting, each at least one tile.
  size_t fair = divide_up(a->outputs, threads * 8);
  size_t wanted =
      a->rows <= 4 ? at_most(fair, STREAM_BYTES / at_least(s->row_bytes, 1)) : at_most(fair, 16 * w.outputs);
  job.chunk_outputs = round_up(at_least(wanted, 1), w.outputs);
  gpi_run(cpu, w.multiply, &job, divide_up(a->outputs, job.chunk_outputs),
          a->rows * a->inputs * a->outputs < SMALL_PRODUCT);
  return 0;
}

size_t gpi_linear_stored(gpi_cpu* cpu, const gpi_linear_args* a, const gpi_store_args* s) {
  if (a->outputs == 0) return 0;
  gpi_linear_args part = *a;
  for (size_t row = 0; row < a->rows; row += PACKED_ROWS) {
    part.input = a->input + row * a->input_stride;
    part.output = a->output + row * a->output_stride;
    part.rows = at_most(a->rows - row, PACKED_ROWS);
    size_t missing = stored_rows(cpu, &part, s);
    if (missing) return missing;
  }
  return 0;
}

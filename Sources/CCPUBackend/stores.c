// Cuts products with quantised weights into chunks for the pool.
#include "cpu.h"
#include "include/gpi_stores.h"

/// Whether stored_pairs.h has a product for this.
static int multiplies_pairs(const gpi_linear_args* a, const gpi_store_args* s) {
  int whole = s->groups == 1 || (s->group >= 16 && (s->group & (s->group - 1)) == 0);
  return a->input_type == GPI_BFLOAT16 && s->store == GPI_STORE_INTEGER && (s->bits == 4 || s->bits == 8) &&
         s->zero != GPI_ZERO_REALS && s->rounding == GPI_KEEP && s->group_rows == 1 && whole;
}

/// At most PACKED_ROWS rows.
static size_t stored_rows(gpi_cpu* cpu, const gpi_linear_args* a, const gpi_store_args* s) {
  size_t threads = gpi_pool_threads(cpu->pool), tile = cpu->kernels->tile_outputs;
  int integers = s->rounding == GPI_INT8_TOKEN || s->rounding == GPI_INT8_TENSOR;
  int words = s->store == GPI_STORE_INTEGER || s->store == GPI_STORE_SPQR || s->store == GPI_STORE_CODEBOOK;
  int pairs = multiplies_pairs(a, s);
  gpi_stored_job job = {.args = a, .store = s};
  job.per_word = words && s->bits != 3 ? 32 / (size_t)s->bits : 1;
  // A stride that does not map all rows to one cache set.
  job.packed_stride = round_up(a->inputs, 256) + 16;
  if (pairs) job.packed_stride = divide_up(a->inputs, 16 * job.per_word) * (job.per_word / 2 + 1) * 16 + 16;
  job.rounded_stride = round_up(a->inputs, 32);
  size_t row_bytes =
      integers ? job.rounded_stride * sizeof(int16_t) + (a->inputs + 1) * sizeof(int32_t) + sizeof(float)
               : job.packed_stride * sizeof(float);
  size_t rows_bytes = round_up(a->rows * row_bytes, 64);
  size_t line_bytes = a->inputs * sizeof(float);
  size_t work_bytes = integers ? 4 * (job.rounded_stride * sizeof(int16_t) + s->groups * sizeof(float))
                               : 1024 * at_least(tile, 6) * sizeof(float);
  job.scratch_stride = round_up(at_least(line_bytes, work_bytes), 64) + 64;
  size_t bytes = rows_bytes + threads * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  if (integers) {
    job.row_scales = (float*)cpu->scratch;
    job.outliers = (int32_t*)(job.row_scales + a->rows);
    job.rounded = (int16_t*)(job.outliers + a->rows * (a->inputs + 1));
  } else {
    job.packed = (float*)cpu->scratch;
  }
  job.scratch = cpu->scratch + rows_bytes;

  job.chunk_rows = at_least(SMALL_ROWS / a->inputs, 1);
  const gpi_kernels* kernels = cpu->kernels;
  gpi_run(cpu,
          pairs      ? kernels->stored_pack_pairs
          : integers ? kernels->stored_round
                     : kernels->stored_pack,
          &job, divide_up(a->rows, job.chunk_rows), a->rows * a->inputs < 4 * SMALL_ROWS);
  // Enough chunks that a slow core does not keep the others waiting, each at least one tile.
  size_t fair = divide_up(a->outputs, threads * 8);
  size_t step = pairs ? 3 : integers ? 4 : tile;
  size_t wanted =
      a->rows <= 4 ? at_most(fair, STREAM_BYTES / at_least(s->row_bytes, 1)) : at_most(fair, 16 * step);
  job.chunk_outputs = round_up(at_least(wanted, 1), step);
  gpi_run(cpu,
          pairs      ? kernels->stored_pairs
          : integers ? kernels->stored_int8
                     : kernels->stored_linear,
          &job, divide_up(a->outputs, job.chunk_outputs), a->rows * a->inputs * a->outputs < SMALL_PRODUCT);
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

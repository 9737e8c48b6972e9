// Picks an instruction set, owns scratch memory, and cuts each operation into chunks for the pool.
#include "include/gpi_cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu.h"

int gpi_isa_available(gpi_isa isa) {
  if (isa == GPI_ISA_PORTABLE) return 1;
#if defined(__x86_64__)
  __builtin_cpu_init();
  int avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (isa == GPI_ISA_AVX2) return avx2;
  int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (isa == GPI_ISA_AVX512) return avx512;
  if (isa == GPI_ISA_AVX512_BF16)
    return avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi2");
#endif
  return 0;
}

static const gpi_kernels* kernels_of(gpi_isa isa) {
#if defined(__x86_64__)
  if (isa == GPI_ISA_AVX2) return &gpi_kernels_avx2;
  if (isa == GPI_ISA_AVX512) return &gpi_kernels_avx512;
  if (isa == GPI_ISA_AVX512_BF16) return &gpi_kernels_avx512bf16;
#endif
  (void)isa;
  return &gpi_kernels_portable;
}

gpi_cpu* gpi_cpu_create(int threads, gpi_isa isa) {
  if (threads < 1 || !gpi_isa_available(isa)) return NULL;
  gpi_cpu* cpu = calloc(1, sizeof *cpu);
  if (!cpu) return NULL;
  cpu->kernels = kernels_of(isa);
  cpu->pool = gpi_pool_create((size_t)threads);
  if (!cpu->pool) {
    free(cpu);
    return NULL;
  }
  return cpu;
}

void gpi_cpu_destroy(gpi_cpu* cpu) {
  gpi_pool_destroy(cpu->pool);
  free(cpu->scratch);
  free(cpu);
}

int gpi_cpu_threads(const gpi_cpu* cpu) { return (int)gpi_pool_threads(cpu->pool); }

int gpi_reserve(gpi_cpu* cpu, size_t bytes) {
  if (bytes <= cpu->scratch_bytes) return 1;
  void* grown = NULL;
  bytes = round_up(bytes, 4096);
  if (posix_memalign(&grown, 4096, bytes)) return 0;
#if defined(MADV_HUGEPAGE)
  madvise(grown, bytes, MADV_HUGEPAGE);  // a wish: fewer address translations, about 5 % faster
#endif
  free(cpu->scratch);
  cpu->scratch = grown;
  cpu->scratch_bytes = bytes;
  return 1;
}

void gpi_run(gpi_cpu* cpu, gpi_work work, const void* job, size_t chunks, int small) {
  if (small) {
    for (size_t chunk = 0; chunk < chunks; chunk++) work(job, chunk, 0);
  } else {
    gpi_pool_run(cpu->pool, work, job, chunks);
  }
}

/// At most PACKED_ROWS rows.
static size_t linear_rows(gpi_cpu* cpu, const gpi_linear_args* a) {
  size_t threads = gpi_pool_threads(cpu->pool), tile = cpu->kernels->tile_outputs;
  gpi_linear_job job = {.args = a};
  size_t step = a->input_type == GPI_BFLOAT16 ? 32 : 16;
  job.packed_stride = divide_up(a->inputs, step) * 16 + 16;
  size_t packed_bytes = round_up(a->rows * job.packed_stride * sizeof(float), 64);
  job.scratch_stride = GPI_RUN_STEPS * tile * 64 + 64;
  size_t bytes = packed_bytes + threads * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  job.packed = (float*)cpu->scratch;
  job.scratch = cpu->scratch + packed_bytes;

  size_t row_bytes = at_least(a->inputs * (a->weight_type == GPI_FLOAT32 ? 4 : 2), 1);
  job.chunk_rows = at_least(SMALL_ROWS / at_least(a->inputs, 1), 1);
  gpi_run(cpu, cpu->kernels->pack, &job, divide_up(a->rows, job.chunk_rows),
          a->rows * a->inputs < 4 * SMALL_ROWS);
  // Enough chunks that a slow core does not keep the others waiting, each at least one tile.
  size_t fair = divide_up(a->outputs, threads * 8);
  int few = a->rows <= cpu->kernels->few_rows;
  size_t wanted = few ? at_most(fair, STREAM_BYTES / row_bytes) : at_most(fair, 16 * tile);
  job.chunk_outputs = round_up(at_least(wanted, 1), tile);
  gpi_run(cpu, few ? cpu->kernels->linear_few : cpu->kernels->linear_many, &job,
          divide_up(a->outputs, job.chunk_outputs), a->rows * a->inputs * a->outputs < SMALL_PRODUCT);
  return 0;
}

size_t gpi_linear(gpi_cpu* cpu, const gpi_linear_args* a) {
  if (a->outputs == 0) return 0;
  gpi_linear_args part = *a;
  for (size_t row = 0; row < a->rows; row += PACKED_ROWS) {
    part.input = a->input + row * a->input_stride;
    part.output = a->output + row * a->output_stride;
    part.rows = at_most(a->rows - row, PACKED_ROWS);
    size_t missing = linear_rows(cpu, &part);
    if (missing) return missing;
  }
  return 0;
}

size_t gpi_attention(gpi_cpu* cpu, const gpi_attention_args* a) {
  size_t threads = gpi_pool_threads(cpu->pool), group = a->query_heads / a->kv_heads;
  gpi_attention_job job = {.args = a};
  size_t table_bytes = round_up((a->sequences + 1) * sizeof(size_t), 64);
  job.scratch_stride = gpi_attention_scratch(a->head_dim);
  size_t bytes = table_bytes + threads * job.scratch_stride;
  if (!gpi_reserve(cpu, bytes)) return bytes;
  size_t* first_task = (size_t*)cpu->scratch;
  job.first_task = first_task;
  job.scratch = cpu->scratch + table_bytes;
  size_t tasks = 0;
  // Rows share key loads, so as many as fit, unless threads would have nothing to do.
  for (job.task_rows = GPI_QUERY_ROWS;; job.task_rows /= 2) {
    tasks = 0;
    for (size_t s = 0; s < a->sequences; s++) {
      first_task[s] = tasks;
      size_t rows = (size_t)(a->query_starts[s + 1] - a->query_starts[s]) * group;
      tasks += divide_up(rows, job.task_rows) * a->kv_heads;
    }
    first_task[a->sequences] = tasks;
    if (tasks >= 2 * threads || job.task_rows <= 4) break;
  }
  size_t work = 0;
  for (size_t s = 0; s < a->sequences; s++)
    work += (size_t)(a->query_starts[s + 1] - a->query_starts[s]) * (size_t)a->context_lengths[s];
  gpi_run(cpu, cpu->kernels->attention, &job, tasks, work * a->query_heads * a->head_dim < SMALL_PRODUCT);
  return 0;
}

static void run_rows(gpi_cpu* cpu, gpi_work work, const void* args, size_t rows, size_t columns) {
  gpi_rows_job job = {.args = args, .chunk_rows = at_least(SMALL_ROWS / at_least(columns, 1), 1)};
  gpi_run(cpu, work, &job, divide_up(rows, job.chunk_rows), rows * columns < 4 * SMALL_ROWS);
}

void gpi_norm(gpi_cpu* cpu, const gpi_norm_args* a) {
  run_rows(cpu, cpu->kernels->norm, a, a->rows, a->columns);
}

void gpi_map_rows(gpi_cpu* cpu, const gpi_map_args* a) {
  run_rows(cpu, cpu->kernels->map, a, a->rows, a->columns);
}

void gpi_gather(gpi_cpu* cpu, const gpi_gather_args* a) {
  run_rows(cpu, cpu->kernels->gather, a, a->rows, a->columns);
}

void gpi_narrow(gpi_cpu* cpu, const gpi_narrow_args* a) {
  run_rows(cpu, cpu->kernels->narrow, a, divide_up(a->count, 16), 16);
}

void gpi_expand(gpi_cpu* cpu, const gpi_expand_args* a) {
  size_t fair = divide_up(a->outputs, gpi_pool_threads(cpu->pool) * 4);
  gpi_rows_job job = {.args = a, .chunk_rows = round_up(at_least(fair, 1), 64)};
  gpi_run(cpu, cpu->kernels->expand, &job, divide_up(a->outputs, job.chunk_rows),
          a->rows * a->rank * a->outputs < 4 * SMALL_PRODUCT);
}

void gpi_append(gpi_cpu* cpu, const gpi_append_args* a) {
  run_rows(cpu, gpi_append_rows, a, a->tokens, 2 * a->kv_heads * a->head_dim);
}

void gpi_rope(gpi_cpu* cpu, const gpi_rope_args* a) {
  run_rows(cpu, gpi_rope_rows, a, a->tokens, a->heads * a->rotary_dim);
}

typedef struct {
  const char* data;
  size_t bytes;
  _Atomic uint64_t sum;
} read_job;

static void read_chunk(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  read_job* job = (read_job*)opaque;
  size_t end = at_most((chunk + 1) * STREAM_BYTES, job->bytes);
  uint64_t sums[32] = {0};
  for (size_t at = chunk * STREAM_BYTES; at + sizeof sums <= end; at += sizeof sums) {
    uint64_t words[32];
    memcpy(words, job->data + at, sizeof words);
    for (int i = 0; i < 32; i++) sums[i] += words[i];
  }
  uint64_t sum = 0;
  for (int i = 0; i < 32; i++) sum += sums[i];
  job->sum += sum;
}

uint64_t gpi_read_memory(gpi_cpu* cpu, const void* data, size_t bytes) {
  read_job job = {.data = data, .bytes = bytes};
  gpi_pool_run(cpu->pool, read_chunk, &job, divide_up(bytes, STREAM_BYTES));
  return job.sum;
}

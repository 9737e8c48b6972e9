// The CPU backend's hot loops, behind one C interface.
//
// Swift cannot pick vector code at run time, so the loops that decide speed (linear, attention, norm,
// activation) live here, compiled once per instruction set from the same source. Every build gives the same
// bits: sixteen logical lanes, fused multiply-add everywhere, one fixed order per output element, whatever
// the batch, the number of threads or the instruction set. Callers check shapes and indices; nothing here
// does.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum { GPI_FLOAT32 = 0, GPI_FLOAT16 = 1, GPI_BFLOAT16 = 2 } gpi_type;

typedef enum { GPI_ISA_PORTABLE = 0, GPI_ISA_AVX2 = 1, GPI_ISA_AVX512 = 2, GPI_ISA_AVX512_BF16 = 3 } gpi_isa;

/// The processors this process may be scheduled on (Swift cannot see `sched_getaffinity`, a GNU extension).
int gpi_processors(void);

/// Worker threads, the chosen instruction set and grow-only scratch memory. Belongs to one calling thread.
typedef struct gpi_cpu gpi_cpu;

/// 1 where this processor and operating system can run `isa`.
int gpi_isa_available(gpi_isa isa);

/// `threads` includes the caller; fewer are started where the system gives no more. NULL where memory has run
/// out.
gpi_cpu* gpi_cpu_create(int threads, gpi_isa isa);
void gpi_cpu_destroy(gpi_cpu* cpu);
/// The caller and the workers that could be started.
int gpi_cpu_threads(const gpi_cpu* cpu);

/// `output[t, n] = Σ_k input[t, k] · weight[n, k] (+ bias[n]) (+ output[t, n])`.
///
/// The sum is float32. With `input_type` GPI_BFLOAT16 inputs are first rounded to it, and multiplied with
/// bfloat16 weights, the only ones allowed then, by the arithmetic of vdpbf16ps, emulated where it is
/// missing.
typedef struct {
  const float* input;  // [rows, inputs]
  size_t input_stride;
  gpi_type input_type;  // GPI_FLOAT32 or GPI_BFLOAT16: what inputs are multiplied as
  const void* weight;   // [outputs, inputs], any alignment
  size_t weight_stride;
  gpi_type weight_type;
  const void* bias;  // [outputs] or NULL
  gpi_type bias_type;
  float* output;  // [rows, outputs]
  size_t output_stride;
  size_t rows, inputs, outputs;
  int accumulate;
} gpi_linear_args;

/// What the elements of a cache are: floats of some type, or codes of 8 bits.
typedef enum { GPI_CACHE_FLOATS, GPI_CACHE_INT8, GPI_CACHE_FLOAT8 } gpi_cache_codes;

/// Keys and values of one layer lie in tiles of 16 positions:
///
///   keys   [tile][kv_heads][head_dim][16 positions]
///   values [tile][kv_heads][16 positions][head_dim]      + 16 readable elements after the last one
///
/// As codes of 8 bits (int8, or E4M3) each tile of a head is followed by 16 float32 scales, one a position:
/// the element is code · scale. The scale is that head's largest size at the position / 127, or / 448; where
/// that is not finite the scale is NaN.
///
/// Block `b` of a table is tiles `b · block_tiles ..< (b + 1) · block_tiles`.
typedef struct {
  const float* query;  // [tokens, query_heads · head_dim]
  size_t query_stride;
  float* output;
  size_t output_stride;
  const void *keys, *values;
  gpi_cache_codes codes;
  gpi_type type;  // of floats
  size_t block_tiles;
  const int32_t* query_starts;     // [sequences + 1]
  const int32_t* context_lengths;  // [sequences]
  const int32_t* block_tables;     // [sequences, ...]
  size_t table_stride;
  size_t sequences, query_heads, kv_heads, head_dim;
  float scale;
  float softcap;        // 0: none
  size_t window;        // 0: none
  const float* slopes;  // [query_heads] or NULL
  // Attention sinks, with a window: every query also sees the first `sinks` keys, at the distance they have
  // when the keys between them and the window are left out. `sink_query` is the query for that place; equal
  // to `query` where the distance is not in the query.
  size_t sinks;  // 0: none
  const float* sink_query;
  size_t sink_query_stride;
  const float* sink_logits;  // [query_heads] or NULL: scores of one more key without a value
} gpi_attention_args;

/// Writes one key and one value row per token; slot −1 is skipped. Layout as in `gpi_attention_args`.
typedef struct {
  const float *key, *value;  // [tokens, kv_heads · head_dim]
  size_t key_stride, value_stride;
  void *keys, *values;
  gpi_cache_codes codes;
  gpi_type type;
  const int32_t* slots;  // [tokens]
  size_t tokens, kv_heads, head_dim;
} gpi_append_args;

/// `residual += adding` where given, then `output = norm(residual) · weight + bias`.
typedef struct {
  float* residual;  // [rows, columns]
  size_t residual_stride;
  const float* adding;  // or NULL
  size_t adding_stride;
  float* output;
  size_t output_stride;
  const void* weight;  // [columns]
  gpi_type weight_type;
  const void* bias;  // [columns] or NULL
  gpi_type bias_type;
  size_t rows, columns;
  float epsilon;
  int subtract_mean;  // 1: layer norm, 0: RMS norm
} gpi_norm_args;

typedef enum { GPI_SILU = 0, GPI_GELU = 1, GPI_GELU_TANH = 2, GPI_RELU = 3, GPI_ADD = 4 } gpi_map;

/// `output = map(gate) · up`, `map(gate)` where `up` is NULL; GPI_ADD: `output = gate + up`.
typedef struct {
  gpi_map map;
  const float* gate;
  size_t gate_stride;
  const float* up;
  size_t up_stride;
  float* output;
  size_t output_stride;
  size_t rows, columns;
} gpi_map_args;

/// Rotates `heads` heads of each row in place.
typedef struct {
  float* rows;  // [tokens, heads · head_dim]
  size_t row_stride;
  const float* table;  // [positions, rotary_dim]: cosines, then sines
  size_t table_stride;
  const int32_t* positions;
  size_t tokens, heads, head_dim, rotary_dim;
  int interleaved;
} gpi_rope_args;

/// `output[i] = widened table[indices[i]]`, `+=` where `accumulate`.
typedef struct {
  const void* table;
  size_t table_stride;
  gpi_type table_type;
  const int32_t* indices;
  float* output;
  size_t output_stride;
  size_t rows, columns;
  int accumulate;
} gpi_gather_args;

/// `destination[i] = source[i]` rounded to bfloat16, to nearest even.
typedef struct {
  const void* source;
  gpi_type type;
  uint16_t* destination;
  size_t count;
} gpi_narrow_args;

/// `output += scale * input * weight`: weight [rank, outputs], input [rows, rank].
typedef struct {
  const float* input;
  size_t input_stride;
  const void* weight;
  size_t weight_stride;
  gpi_type weight_type;
  float scale;
  float* output;
  size_t output_stride;
  size_t rows;
  size_t rank;
  size_t outputs;
} gpi_expand_args;

/// Each returns 0, or the number of scratch bytes that could not be had, and then has written
/// nothing.
size_t gpi_linear(gpi_cpu* cpu, const gpi_linear_args* args);
size_t gpi_attention(gpi_cpu* cpu, const gpi_attention_args* args);
void gpi_append(gpi_cpu* cpu, const gpi_append_args* args);
void gpi_norm(gpi_cpu* cpu, const gpi_norm_args* args);
void gpi_map_rows(gpi_cpu* cpu, const gpi_map_args* args);
void gpi_rope(gpi_cpu* cpu, const gpi_rope_args* args);
void gpi_gather(gpi_cpu* cpu, const gpi_gather_args* args);
void gpi_narrow(gpi_cpu* cpu, const gpi_narrow_args* args);
void gpi_expand(gpi_cpu* cpu, const gpi_expand_args* args);

/// Sums `bytes` of memory with all threads: the read bandwidth that a matrix-vector product can at best have.
uint64_t gpi_read_memory(gpi_cpu* cpu, const void* data, size_t bytes);

#include "gpi_stores.h"

// One element of y = x · Wᵀ: how its sum is formed, wherever in a tile it is computed.
//
// Both operands are read along `inputs`, 64 packed bytes a step:
//
//            step 0   | step 1   | …              one accumulator of 16 lanes per output element;
//   x[m]     ─────────────────────────►           a lane takes one input of each step in float32, a pair of
//   W[n]     ─────────────────────────►           them in bfloat16, steps in ascending order;
//                                                 after GPI_RUN_STEPS: sum16, added to output[m, n]
#pragma once

#include "bfloat16.h"
#include "kernels.h"
#include "vector.h"

/// What a step is: 16 weights widened to float32, or 32 bfloat16 multiplied in pairs.
typedef enum { WIDE_FLOAT32, WIDE_FLOAT16, WIDE_BFLOAT16, PAIRS_BFLOAT16 } product;

INLINE product product_of(const gpi_linear_args* a) {
  if (a->input_type == GPI_BFLOAT16) return PAIRS_BFLOAT16;
  if (a->weight_type == GPI_FLOAT32) return WIDE_FLOAT32;
  return a->weight_type == GPI_FLOAT16 ? WIDE_FLOAT16 : WIDE_BFLOAT16;
}

INLINE gpi_type weight_type(const product p) {
  if (p == WIDE_FLOAT32) return GPI_FLOAT32;
  return p == WIDE_FLOAT16 ? GPI_FLOAT16 : GPI_BFLOAT16;
}
INLINE size_t weight_bytes(const product p) { return type_bytes(weight_type(p)); }
INLINE size_t step_inputs(const product p) { return p == PAIRS_BFLOAT16 ? 2 * LANES : LANES; }
INLINE size_t run_inputs(const product p) { return GPI_RUN_STEPS * step_inputs(p); }
INLINE size_t run_end(const product p, size_t k0, size_t inputs) {
  return inputs - k0 < run_inputs(p) ? inputs : k0 + run_inputs(p);
}

/// The packed inputs of one row from input `k` on, which starts a step.
INLINE const float* packed_row(const product p, const gpi_linear_job* job, size_t row, size_t k) {
  return job->packed + row * job->packed_stride + k / step_inputs(p) * LANES;
}

INLINE f32x16 load_step(const product p, const char* w, size_t k) {
  return p == PAIRS_BFLOAT16 ? load(w + 2 * k) : load_wide(w, k, weight_type(p));
}

/// The last `count` inputs, fewer than a step; the others count as 0.
INLINE f32x16 load_step_tail(const product p, const char* w, size_t k, size_t count) {
  if (p != PAIRS_BFLOAT16) return load_wide_tail(w, k, count, weight_type(p));
  char padded[64] = {0};
  memcpy(padded, w + 2 * k, 2 * count);
  return load(padded);
}

INLINE f32x16 multiply(const product p, f32x16 x, f32x16 w, f32x16 sum) {
  return p == PAIRS_BFLOAT16 ? dot_pairs(x, w, sum) : fma16(x, w, sum);
}

/// Adds the sum of one run to its output, which before the first run is the bias and, if asked, the old
/// value.
INLINE void add_run(const gpi_linear_args* a, size_t row, size_t column, int first, float sum) {
  float* output = a->output + row * a->output_stride + column;
  float base = first && !a->accumulate ? 0.0f : *output;
  if (first && a->bias) base += load_one(a->bias, column, a->bias_type);
  *output = base + sum;
}

INLINE void pack_row(const product p, const float* input, size_t inputs, float* packed) {
  if (p != PAIRS_BFLOAT16) {
    memcpy(packed, input, inputs * sizeof(float));
    memset(packed + inputs, 0, (-inputs % LANES) * sizeof(float));
    return;
  }
  uint16_t* rounded = (uint16_t*)packed;
  size_t k = 0;
  for (; k + LANES <= inputs; k += LANES) *(u16x16_any*)(rounded + k) = round_bfloat16(load(input + k));
  if (k < inputs) {
    *(u16x16_any*)(rounded + k) = round_bfloat16(load_tail(input + k, inputs - k));
    k += LANES;
  }
  if (k % step_inputs(p)) *(u16x16_any*)(rounded + k) = (u16x16){0};
}

/// Copies rows of the input, zero padded to whole steps, at a stride that does not map all rows to one cache
/// set.
static void pack(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_linear_job* job = opaque;
  const gpi_linear_args* a = job->args;
  size_t end = (chunk + 1) * job->chunk_rows < a->rows ? (chunk + 1) * job->chunk_rows : a->rows;
  for (size_t row = chunk * job->chunk_rows; row < end; row++) {
    const float* input = a->input + row * a->input_stride;
    float* packed = job->packed + row * job->packed_stride;
    if (a->input_type == GPI_BFLOAT16)
      pack_row(PAIRS_BFLOAT16, input, a->inputs, packed);
    else
      pack_row(WIDE_FLOAT32, input, a->inputs, packed);
  }
}

// Softmax attention over the paged cache, one pass (online softmax, Milakov and Gimelshein 2018).
//
// A query row walks the tiles of 16 positions that it can see, from the first to its own, always the same
// way:
//
//   scores   lane = key:        s = Σ_d q[d] · K[d][0…15], even and odd d apart, then added
//   softmax  m, l[16 lanes]:    l and the output are scaled by e^(m − m') when the maximum grows
//   output   lane = component:  o += p[j] · V[j], j ascending
//
// With attention sinks a row that has left keys behind visits the sinks' tiles before that, with the query
// and the place it has when its keys are counted without those left out.
//
// Rows of a task only share loads: up to ROW_GROUP rows that see the whole tile are computed side by side. So
// a row has the same bits in a prefill of any chunk size and in a decode.
#pragma once

#include "kernels.h"
#include "stored_decode.h"
#include "vector.h"

typedef struct {
  const float* query[GPI_QUERY_ROWS];
  float slope[GPI_QUERY_ROWS];
  size_t position[GPI_QUERY_ROWS], first[GPI_QUERY_ROWS];
  int leaves_keys[GPI_QUERY_ROWS];  // there are keys between its sinks and its window
  float maximum[GPI_QUERY_ROWS];
  float* sums;     // [rows][16]
  float* weights;  // [rows][16]: p of the current tile
  float* output;   // [rows][padded]
  size_t padded;
} attention_rows;

INLINE void scores_to_weights(const gpi_attention_args* a, attention_rows* rows, size_t row, f32x16 dot,
                              size_t tile, int low, int high, float* rescale) {
  const i32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  f32x16 score = dot * splat(a->scale);
  if (a->softcap != 0) score = splat(a->softcap) * tanh16(score / splat(a->softcap));
  if (a->slopes) {
    i32x16 distance = lane + (int32_t)((ptrdiff_t)(tile * LANES) - (ptrdiff_t)rows->position[row]);
    score = fma16(splat(rows->slope[row]), __builtin_convertvector(distance, f32x16), score);
  }
  i32x16 visible = (lane >= low) & (lane < high);
  score = pick(visible, score, splat(-__builtin_inff()));
  float old = rows->maximum[row], peak = max16(score);
  float maximum = peak > old ? peak : old;
  *rescale = 1.0f;
  if (maximum != old) *rescale = exp16(splat(old - maximum))[0];
  f32x16 weight = pick(visible, exp16(score - splat(maximum)), splat(0));
  rows->maximum[row] = maximum;
  float* sums = rows->sums + row * LANES;
  store(sums, fma16(load(sums), splat(*rescale), weight));
  store(rows->weights + row * LANES, weight);
}

/// `count` rows against the keys low ..< high of one tile.
INLINE void attend_tile(const int count, const gpi_attention_args* a, attention_rows* rows, size_t row,
                        const float* keys, const float* values, size_t tile, int low, int high) {
  f32x16 even[ROW_GROUP], odd[ROW_GROUP];
  UNROLL for (int r = 0; r < count; r++) even[r] = odd[r] = splat(0);
  size_t d = 0;
  for (; d + 2 <= a->head_dim; d += 2) {
    f32x16 key0 = load(keys + d * LANES), key1 = load(keys + (d + 1) * LANES);
    UNROLL for (int r = 0; r < count; r++) {
      even[r] = fma16(splat(rows->query[row + r][d]), key0, even[r]);
      odd[r] = fma16(splat(rows->query[row + r][d + 1]), key1, odd[r]);
    }
  }
  if (d < a->head_dim) {
    f32x16 key = load(keys + d * LANES);
    UNROLL for (int r = 0; r < count; r++) even[r] = fma16(splat(rows->query[row + r][d]), key, even[r]);
  }
  float rescale[ROW_GROUP];
  UNROLL for (int r = 0; r < count; r++)
      scores_to_weights(a, rows, row + r, even[r] + odd[r], tile, low, high, &rescale[r]);

  const float* weights = rows->weights + row * LANES;
  float* output = rows->output + row * rows->padded;
  size_t column = 0;
  for (; column + 2 * LANES <= rows->padded; column += 2 * LANES) {
    f32x16 left[ROW_GROUP], right[ROW_GROUP];
    UNROLL for (int r = 0; r < count; r++) {
      left[r] = load(output + r * rows->padded + column) * splat(rescale[r]);
      right[r] = load(output + r * rows->padded + column + LANES) * splat(rescale[r]);
    }
    for (int j = low; j < high; j++) {
      f32x16 value0 = load(values + j * a->head_dim + column);
      f32x16 value1 = load(values + j * a->head_dim + column + LANES);
      UNROLL for (int r = 0; r < count; r++) {
        f32x16 weight = splat(weights[r * LANES + j]);
        left[r] = fma16(weight, value0, left[r]);
        right[r] = fma16(weight, value1, right[r]);
      }
    }
    UNROLL for (int r = 0; r < count; r++) {
      store(output + r * rows->padded + column, left[r]);
      store(output + r * rows->padded + column + LANES, right[r]);
    }
  }
  if (column < rows->padded) {
    f32x16 sum[ROW_GROUP];
    UNROLL for (int r = 0; r < count; r++) {
      sum[r] = load(output + r * rows->padded + column) * splat(rescale[r]);
    }
    for (int j = low; j < high; j++) {
      f32x16 value = load(values + j * a->head_dim + column);
      UNROLL for (int r = 0; r < count; r++) sum[r] = fma16(splat(weights[r * LANES + j]), value, sum[r]);
    }
    UNROLL for (int r = 0; r < count; r++) store(output + r * rows->padded + column, sum[r]);
  }
}

/// Widens `count` elements; reads and writes whole vectors.
INLINE const float* widen_run(const void* data, size_t index, size_t count, gpi_type type, float* scratch) {
  if (type == GPI_FLOAT32) return (const float*)data + index;
  for (size_t i = 0; i < count; i += LANES) store(scratch + i, load_wide(data, index + i, type));
  return scratch;
}

INLINE f32x16 cache_codes(const char* codes, gpi_cache_codes kind) {
  if (kind == GPI_CACHE_INT8) return signed_to_float((i8x16) * (const u8x16_any*)codes);
  return widen_e4m3(*(const u8x16_any*)codes);
}

/// The keys of one head in one tile, as [head_dim][16].
INLINE const float* tile_keys(const gpi_attention_args* a, size_t record, float* scratch) {
  size_t size = LANES * a->head_dim;
  if (a->codes == GPI_CACHE_FLOATS) return widen_run(a->keys, record * size, size, a->type, scratch);
  const char* codes = (const char*)a->keys + record * (size + LANES * sizeof(float));
  f32x16 scales = load(codes + size);
  for (size_t i = 0; i < size; i += LANES) store(scratch + i, cache_codes(codes + i, a->codes) * scales);
  return scratch;
}

/// Its values, as [16][head_dim]; whole vectors are read and written, so that a row ends in the next one's
/// start, and the last one in the scales.
INLINE const float* tile_values(const gpi_attention_args* a, size_t record, float* scratch) {
  size_t size = LANES * a->head_dim;
  if (a->codes == GPI_CACHE_FLOATS) return widen_run(a->values, record * size, size, a->type, scratch);
  const char* codes = (const char*)a->values + record * (size + LANES * sizeof(float));
  f32x16 scales = load(codes + size);
  for (size_t j = 0; j < LANES; j++) {
    f32x16 scale = splat(scales[j]);
    for (size_t d = 0; d < a->head_dim; d += LANES)
      store(scratch + j * a->head_dim + d, cache_codes(codes + j * a->head_dim + d, a->codes) * scale);
  }
  return scratch;
}

/// The sinks' keys, for the rows that have left keys behind. Their place is that behind sinks and window.
INLINE void attend_sinks(const gpi_attention_args* a, attention_rows* rows, size_t count,
                         const size_t* row_index, const size_t* query_heads, const int32_t* table,
                         size_t kv_head, float* scratch_keys, float* scratch_values) {
  int any = 0;
  for (size_t r = 0; r < count; r++) any |= rows->leaves_keys[r];
  if (!any) return;
  for (size_t tile = 0; tile * LANES < a->sinks; tile++) {
    size_t place = (size_t)table[tile / a->block_tiles] * a->block_tiles + tile % a->block_tiles;
    const float* keys = tile_keys(a, place * a->kv_heads + kv_head, scratch_keys);
    const float* values = tile_values(a, place * a->kv_heads + kv_head, scratch_values);
    size_t left = a->sinks - tile * LANES;
    for (size_t r = 0; r < count; r++) {
      if (!rows->leaves_keys[r]) continue;
      const float* query = rows->query[r];
      size_t position = rows->position[r];
      rows->query[r] = a->sink_query + row_index[r] * a->sink_query_stride + query_heads[r] * a->head_dim;
      rows->position[r] = a->sinks + a->window - 1;
      attend_tile(1, a, rows, r, keys, values, tile, 0, left < LANES ? (int)left : LANES);
      rows->query[r] = query;
      rows->position[r] = position;
    }
  }
}

static void attention(const void* opaque, size_t chunk, size_t thread) {
  const gpi_attention_job* job = opaque;
  const gpi_attention_args* a = job->args;
  size_t sequence = 0, beyond = a->sequences;  // first_task[sequence] <= chunk < first_task[sequence + 1]
  while (beyond - sequence > 1) {
    size_t middle = (sequence + beyond) / 2;
    if (job->first_task[middle] <= chunk)
      sequence = middle;
    else
      beyond = middle;
  }
  size_t start = (size_t)a->query_starts[sequence];
  size_t queries = (size_t)a->query_starts[sequence + 1] - start;
  size_t context = (size_t)a->context_lengths[sequence];
  size_t group = a->query_heads / a->kv_heads;
  size_t tasks = (queries * group + job->task_rows - 1) / job->task_rows;
  size_t head = (chunk - job->first_task[sequence]) / tasks;
  size_t begin = (chunk - job->first_task[sequence]) % tasks * job->task_rows;
  size_t end = begin + job->task_rows < queries * group ? begin + job->task_rows : queries * group;
  size_t count = end - begin;

  // scratch: keys [D][16] | values [16][D] and one vector more | sums | weights | output
  attention_rows rows;
  rows.padded = (a->head_dim + LANES - 1) / LANES * LANES;
  float* scratch_keys = (float*)(job->scratch + thread * job->scratch_stride);
  float* scratch_values = scratch_keys + LANES * rows.padded + LANES;
  rows.sums = scratch_values + LANES * rows.padded + LANES;
  rows.weights = rows.sums + GPI_QUERY_ROWS * LANES;
  rows.output = rows.weights + GPI_QUERY_ROWS * LANES;
  memset(rows.sums, 0, count * LANES * sizeof(float));
  memset(rows.output, 0, count * rows.padded * sizeof(float));
  size_t first = context, last = 0;
  size_t row_index[GPI_QUERY_ROWS], query_heads[GPI_QUERY_ROWS];
  for (size_t r = 0; r < count; r++) {
    size_t query_head = head * group + (begin + r) % group;
    row_index[r] = start + (begin + r) / group;
    query_heads[r] = query_head;
    rows.query[r] = a->query + row_index[r] * a->query_stride + query_head * a->head_dim;
    rows.slope[r] = a->slopes ? a->slopes[query_head] : 0;
    rows.position[r] = context - queries + (begin + r) / group;
    rows.first[r] = a->window && rows.position[r] >= a->window ? rows.position[r] + 1 - a->window : 0;
    rows.leaves_keys[r] = a->sinks && rows.first[r] > a->sinks;
    if (a->sinks && !rows.leaves_keys[r]) rows.first[r] = 0;
    rows.maximum[r] = -__builtin_inff();
    if (rows.first[r] < first) first = rows.first[r];
    if (rows.position[r] > last) last = rows.position[r];
  }

  const int32_t* table = a->block_tables + sequence * a->table_stride;
  attend_sinks(a, &rows, count, row_index, query_heads, table, head, scratch_keys, scratch_values);
  for (size_t tile = first / LANES; tile <= last / LANES; tile++) {
    size_t place = (size_t)table[tile / a->block_tiles] * a->block_tiles + tile % a->block_tiles;
    const float* keys = tile_keys(a, place * a->kv_heads + head, scratch_keys);
    const float* values = tile_values(a, place * a->kv_heads + head, scratch_values);
    size_t low = tile * LANES, high = low + LANES;
    for (size_t r = 0; r < count;) {
      if (rows.position[r] < low || rows.first[r] >= high) {
        r++;
        continue;
      }
      size_t whole = r;
      while (whole < count && whole < r + ROW_GROUP && rows.first[whole] <= low &&
             rows.position[whole] + 1 >= high)
        whole++;
      if (whole == r + ROW_GROUP) {
        attend_tile(ROW_GROUP, a, &rows, r, keys, values, tile, 0, LANES);
        r += ROW_GROUP;
        continue;
      }
      int from = rows.first[r] > low ? (int)(rows.first[r] - low) : 0;
      int to = rows.position[r] + 1 < high ? (int)(rows.position[r] + 1 - low) : LANES;
      attend_tile(1, a, &rows, r, keys, values, tile, from, to);
      r++;
    }
  }

  for (size_t r = 0; r < count; r++) {
    float* output = a->output + (start + (begin + r) / group) * a->output_stride +
                    (head * group + (begin + r) % group) * a->head_dim;
    f32x16 total = splat(sum16(load(rows.sums + r * LANES)));
    f32x16 weight = splat(1);
    if (a->sink_logits) {
      // Offsets by the greater of the two, as for any other key.
      f32x16 sink = splat(a->sink_logits[query_heads[r]]), largest = splat(rows.maximum[r]);
      f32x16 offset = pick(sink > largest, sink, largest);
      weight = exp16(largest - offset);
      total = fma16(total, weight, exp16(sink - offset));
    }
    for (size_t column = 0; column < a->head_dim; column += LANES) {
      f32x16 value = load(rows.output + r * rows.padded + column) * weight / total;
      size_t left = a->head_dim - column;
      if (left >= LANES)
        store(output + column, value);
      else
        store_tail(output + column, value, left);
    }
  }
}

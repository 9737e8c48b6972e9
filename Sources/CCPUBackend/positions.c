// Rope and cache writes: they move data and multiply once, so one build serves every instruction set.
#include <string.h>

#include "kernels.h"

static uint16_t to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// To nearest, ties to even; overflow gives infinity.
static uint16_t to_float16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  bits &= 0x7FFFFFFF;
  if (bits > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (bits >> 13 & 0x3FF));
  if (bits >= 0x477FF000) return sign | 0x7C00;
  if (bits < 0x38800000) {
    // Adding 0.5 leaves the half's subnormal mantissa, rounded, in the low bits.
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, 4);
    return (uint16_t)(sign | (bits - 0x3F000000));
  }
  return (uint16_t)(sign | ((bits + 0xFFF + (bits >> 13 & 1)) >> 13) - (112 << 10));
}

static void put(void* data, size_t index, float value, gpi_type type) {
  switch (type) {
    case GPI_FLOAT32:
      ((float*)data)[index] = value;
      break;
    case GPI_FLOAT16:
      ((uint16_t*)data)[index] = to_float16(value);
      break;
    case GPI_BFLOAT16:
      ((uint16_t*)data)[index] = to_bfloat16(value);
      break;
  }
}

/// The nearest E4M3 code, ties to even, of a size up to 448.
static uint8_t to_float8(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
  bits &= 0x7FFFFFFF;
  if (bits >= 0x43E00000) return sign | 0x7E;
  if (bits < 0x3C800000) {
    // Below 2⁻⁶ a code counts units of 2⁻⁹; adding 2¹⁴ leaves them, rounded, in the low bits.
    float size;
    memcpy(&size, &bits, 4);
    size += 0x1p14f;
    memcpy(&bits, &size, 4);
    return (uint8_t)(sign | (bits & 0xFF));
  }
  return (uint8_t)(sign | ((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20) - (120 << 3));
}

/// The nearest integer, ties to even, of a size up to 127.
static uint8_t to_int8(float value) {
  float bounded = value < -127.0f ? -127.0f : value > 127.0f ? 127.0f : value;
  return (uint8_t)(int8_t)(int)((bounded + 0x1.8p23f) - 0x1.8p23f);
}

/// One head at one position: `count` codes `step` bytes apart, and their scale.
static void put_codes(uint8_t* data, size_t step, const float* row, size_t count, void* scale_at,
                      gpi_cache_codes codes) {
  float largest = 0;
  int finite = 1;
  for (size_t d = 0; d < count; d++) {
    float size = row[d] < 0 ? -row[d] : row[d];
    finite &= size < __builtin_inff();
    largest = size > largest ? size : largest;
  }
  float scale = finite ? largest / (codes == GPI_CACHE_INT8 ? 127.0f : 448.0f) : __builtin_nanf("");
  memcpy(scale_at, &scale, sizeof scale);
  for (size_t d = 0; d < count; d++) {
    // Sizes so small that their scale is 0 are 0.
    float x = scale > 0 ? row[d] / scale : 0.0f;
    data[d * step] = codes == GPI_CACHE_INT8 ? to_int8(x) : to_float8(x);
  }
}

static void append_codes(const gpi_append_args* a, size_t record, size_t lane, const float* key,
                         const float* value) {
  size_t size = 16 * a->head_dim, start = record * (size + 16 * sizeof(float));
  uint8_t *keys = (uint8_t*)a->keys + start, *values = (uint8_t*)a->values + start;
  put_codes(keys + lane, 16, key, a->head_dim, keys + size + lane * sizeof(float), a->codes);
  put_codes(values + lane * a->head_dim, 1, value, a->head_dim, values + size + lane * sizeof(float),
            a->codes);
}

void gpi_append_rows(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_append_args* a = job->args;
  for (size_t token = chunk * job->chunk_rows; token < a->tokens && token < (chunk + 1) * job->chunk_rows;
       token++) {
    if (a->slots[token] < 0) continue;
    size_t tile = (size_t)a->slots[token] / 16, lane = (size_t)a->slots[token] % 16;
    for (size_t head = 0; head < a->kv_heads; head++) {
      const float* key = a->key + token * a->key_stride + head * a->head_dim;
      const float* value = a->value + token * a->value_stride + head * a->head_dim;
      if (a->codes != GPI_CACHE_FLOATS) {
        append_codes(a, tile * a->kv_heads + head, lane, key, value);
        continue;
      }
      size_t base = (tile * a->kv_heads + head) * 16 * a->head_dim;
      if (a->type == GPI_FLOAT32) {
        float* keys = (float*)a->keys + base + lane;
        for (size_t d = 0; d < a->head_dim; d++) keys[d * 16] = key[d];
        memcpy((float*)a->values + base + lane * a->head_dim, value, a->head_dim * sizeof(float));
        continue;
      }
      for (size_t d = 0; d < a->head_dim; d++) {
        put(a->keys, base + d * 16 + lane, key[d], a->type);
        put(a->values, base + lane * a->head_dim + d, value[d], a->type);
      }
    }
  }
}

void gpi_rope_rows(const void* opaque, size_t chunk, size_t thread) {
  (void)thread;
  const gpi_rows_job* job = opaque;
  const gpi_rope_args* a = job->args;
  size_t half = a->rotary_dim / 2;
  size_t step = a->interleaved ? 2 : 1, partner = a->interleaved ? 1 : half;
  for (size_t token = chunk * job->chunk_rows; token < a->tokens && token < (chunk + 1) * job->chunk_rows;
       token++) {
    const float* cosine = a->table + (size_t)a->positions[token] * a->table_stride;
    const float* sine = cosine + half;
    for (size_t head = 0; head < a->heads; head++) {
      float* x = a->rows + token * a->row_stride + head * a->head_dim;
      for (size_t i = 0; i < half; i++) {
        float first = x[i * step], second = x[i * step + partner];
        x[i * step] = first * cosine[i] - second * sine[i];
        x[i * step + partner] = second * cosine[i] + first * sine[i];
      }
    }
  }
}

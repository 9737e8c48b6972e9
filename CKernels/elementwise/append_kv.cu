// Writes the step's keys and values into the paged cache: one block a token.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;
constexpr int page_tokens = 16;

/// Moves bits: bf16 and f16 are the same to it.
///
/// ```
/// cache [block][0 key, 1 value][head][place][component]
/// ```
template <int width>
GPU_KERNEL(block_threads, 8)
append_kv_kernel(AppendArguments p) {
  using Unit = std::conditional_t<width == 8, Packed, uint16_t>;
  const int64_t token = block_x();
  const int slot = p.slots[token];
  if (slot < 0) return;
  const int64_t page = slot / page_tokens;
  const int place = slot % page_tokens;
  const int head_units = p.head_dimension / width;
  const int row_units = p.heads * head_units;
  const int64_t half = int64_t(row_units) * page_tokens;
  const Unit* key = static_cast<const Unit*>(p.key) + token * (p.key_stride / width);
  const Unit* value = static_cast<const Unit*>(p.value) + token * (p.value_stride / width);
  Unit* keys = static_cast<Unit*>(p.cache) + page * 2 * half;
  Unit* values = keys + half;
  for (int i = thread_index(); i < row_units; i += block_threads) {
    const int head = i / head_units, unit = i % head_units;
    const int target = (head * page_tokens + place) * head_units + unit;
    keys[target] = key[i];
    values[target] = value[i];
  }
}

}  // namespace

Status append_kv(Stream stream, const AppendArguments& given) {
  if (given.tokens == 0) return 0;
  AppendArguments a = given;
  if (a.key_stride == 0) a.key_stride = int64_t(a.heads) * a.head_dimension;
  if (a.value_stride == 0) a.value_stride = int64_t(a.heads) * a.head_dimension;
  LaunchShape shape;
  shape.grid.x = a.tokens;
  shape.threads = block_threads;
  if (allows_vectors(a.head_dimension, a.key, a.value, a.cache) && a.key_stride % 8 == 0 &&
      a.value_stride % 8 == 0) {
    return launch(stream, "append_kv<8>", shape, append_kv_kernel<8>, a);
  }
  return launch(stream, "append_kv<1>", shape, append_kv_kernel<1>, a);
}

}  // namespace gpu

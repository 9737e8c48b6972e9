// The tensor maps of prefill attention with wgmma, and the choice of the element type.

#include "attention/sm90/prefill.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

Swizzle swizzle_of(const AttentionArguments& a) {
  return prefill_sm90_panel(a.head_dimension) == 64 ? Swizzle::bytes_128 : Swizzle::bytes_64;
}

TensorMapDescription query_map(const AttentionArguments& a) {
  return {a.query,
          2,
          3,
          {a.head_dimension, a.query_heads, a.tokens},
          {0, a.head_dimension * 2, query_stride(a) * 2},
          {prefill_sm90_panel(a.head_dimension), 1, 128},
          swizzle_of(a)};
}

/// The pool's size is not among the arguments: block numbers come from the tables, and are trusted here as by
/// the other kernels.
TensorMapDescription cache_map(const AttentionArguments& a) {
  constexpr int64_t any_block = (int64_t(1) << 31) - 1;
  const int64_t row = a.head_dimension * 2, head = kv_block_tokens * row;
  return {a.cache,
          2,
          4,
          {a.head_dimension, kv_block_tokens, 2 * a.key_heads, any_block},
          {0, row, head, 2 * a.key_heads * head},
          {prefill_sm90_panel(a.head_dimension), kv_block_tokens, 1, 1},
          swizzle_of(a)};
}

}  // namespace

bool attention_prefill_sm90_supports(const AttentionArguments& a) {
  return a.codes == CacheCodes::elements && a.sinks == 0 && attention_prefill_supports(a) &&
         allows_vectors(a.query_stride, a.query, a.cache);
}

Status attention_prefill_sm90(Stream stream, const AttentionArguments& a) {
  if (!attention_prefill_sm90_supports(a)) return invalid_arguments;
  if (a.tokens == 0 || a.sequences == 0) return 0;
  PrefillSm90Call call = {};
  call.attention = a;
  Status status = encode_tensor_map(call.query, query_map(a));
  if (status == 0) status = encode_tensor_map(call.cache, cache_map(a));
  if (status != 0) return status;
  return a.type == ElementType::bfloat16 ? prefill_sm90_bf16(stream, call) : prefill_sm90_f16(stream, call);
}

}  // namespace gpu

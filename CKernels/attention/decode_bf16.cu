// The bfloat16 forms of decode attention, and the whole operation.

#include "attention/decode_launch.h"

namespace gpu {

Status decode_bf16(Stream stream, const DecodeArguments& arguments) {
  return run_decode<bf16>(stream, arguments);
}

Status attention_decode(Stream stream, const AttentionArguments& a, const DecodeWorkspace& workspace) {
  constexpr int tile_keys = DecodeShape<16>::keys;
  if (!attention_decode_supports(a) || workspace.split_keys <= 0 || workspace.split_keys % tile_keys != 0) {
    return invalid_arguments;
  }
  if (a.tokens == 0 || a.sequences == 0 || a.max_queries == 0) return 0;
  const int splits = (a.max_context + workspace.split_keys - 1) / workspace.split_keys;
  const DecodeArguments d = {a, workspace, splits > 0 ? splits : 1};
  const bool is_bf16 = a.type == ElementType::bfloat16;
  Status status;
  if (a.codes == CacheCodes::elements) {
    status = is_bf16 ? decode_bf16(stream, d) : decode_f16(stream, d);
  } else {
    status = is_bf16 ? decode_codes_bf16(stream, d) : decode_codes_f16(stream, d);
  }
  if (status != 0 || d.splits == 1) return status;
  return combine_splits(stream, d);
}

}  // namespace gpu

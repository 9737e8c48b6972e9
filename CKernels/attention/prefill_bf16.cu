// The bfloat16 forms of prefill attention, and the choice between them and the float16 ones.

#include "attention/prefill.h"

namespace gpu {

Status prefill_bf16(Stream stream, const AttentionArguments& arguments) {
  return run_prefill<bf16>(stream, arguments);
}

Status attention_prefill(Stream stream, const AttentionArguments& arguments) {
  if (!attention_prefill_supports(arguments)) return invalid_arguments;
  if (arguments.tokens == 0 || arguments.sequences == 0) return 0;
  const bool is_bf16 = arguments.type == ElementType::bfloat16;
  if (arguments.codes == CacheCodes::elements) {
    return is_bf16 ? prefill_bf16(stream, arguments) : prefill_f16(stream, arguments);
  }
  return is_bf16 ? prefill_codes_bf16(stream, arguments) : prefill_codes_f16(stream, arguments);
}

}  // namespace gpu

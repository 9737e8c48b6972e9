// The float16 forms of prefill attention over a cache of codes.

#include "attention/prefill.h"

namespace gpu {

Status prefill_codes_f16(Stream stream, const AttentionArguments& arguments) {
  return run_prefill_codes<f16>(stream, arguments);
}

}  // namespace gpu

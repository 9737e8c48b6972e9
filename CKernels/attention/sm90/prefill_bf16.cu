// The bfloat16 forms of prefill attention with wgmma.

#include "attention/sm90/prefill.h"

namespace gpu {

Status prefill_sm90_bf16(Stream stream, const PrefillSm90Call& call) {
  return run_prefill_sm90<bf16>(stream, call);
}

}  // namespace gpu

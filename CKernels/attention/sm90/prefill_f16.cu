// The float16 forms of prefill attention with wgmma.

#include "attention/sm90/prefill.h"

namespace gpu {

Status prefill_sm90_f16(Stream stream, const PrefillSm90Call& call) {
  return run_prefill_sm90<f16>(stream, call);
}

}  // namespace gpu

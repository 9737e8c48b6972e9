// The float16 forms of prefill attention. A file of their own: the forms of one type take long enough to
// compile.

#include "attention/prefill.h"

namespace gpu {

Status prefill_f16(Stream stream, const AttentionArguments& arguments) {
  return run_prefill<f16>(stream, arguments);
}

}  // namespace gpu

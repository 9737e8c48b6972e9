// The bfloat16 forms of decode attention over a cache of codes.

#include "attention/decode_launch.h"

namespace gpu {

Status decode_codes_bf16(Stream stream, const DecodeArguments& arguments) {
  return run_decode_codes<bf16>(stream, arguments);
}

}  // namespace gpu

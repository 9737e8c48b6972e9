// The float16 forms of decode attention over a cache of codes.

#include "attention/decode_launch.h"

namespace gpu {

Status decode_codes_f16(Stream stream, const DecodeArguments& arguments) {
  return run_decode_codes<f16>(stream, arguments);
}

}  // namespace gpu

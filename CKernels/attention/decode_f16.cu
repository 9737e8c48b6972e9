// The float16 forms of decode attention. A file of their own: the forms of one type take long enough to
// compile.

#include "attention/decode_launch.h"

namespace gpu {

Status decode_f16(Stream stream, const DecodeArguments& arguments) {
  return run_decode<f16>(stream, arguments);
}

}  // namespace gpu

// The float16 forms of the product with 4-bit weights.

#include "gemm/w4a16_kernel.h"

namespace gpu {

Status w4a16_f16(Stream stream, W4A16Form form, const W4A16Call& c) {
  return run_w4a16<f16>(stream, form, c);
}

}  // namespace gpu

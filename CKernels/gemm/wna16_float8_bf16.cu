// Products of bfloat16 activations with float8 weights.

#include "gemm/wna16_kernel.h"

namespace gpu {

Status wna16_float8_bf16(Stream stream, WNA16Form form, const WNA16Call& c) {
  return run_wna16<bf16, WeightCode::float8>(stream, form, c);
}

}  // namespace gpu

// Products of bfloat16 activations with int4 weights.

#include "gemm/wna16_kernel.h"

namespace gpu {

Status wna16_int4_bf16(Stream stream, WNA16Form form, const WNA16Call& c) {
  return run_wna16<bf16, WeightCode::int4>(stream, form, c);
}

}  // namespace gpu

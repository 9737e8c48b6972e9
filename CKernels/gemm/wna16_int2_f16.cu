// Products of float16 activations with int2 weights.

#include "gemm/wna16_kernel.h"

namespace gpu {

Status wna16_int2_f16(Stream stream, WNA16Form form, const WNA16Call& c) {
  return run_wna16<f16, WeightCode::int2>(stream, form, c);
}

}  // namespace gpu

// The bfloat16 forms of the product of int8 activations and weights.

#include "gemm/w8a8_kernel.h"

namespace gpu {

Status w8a8_bf16(Stream stream, W8A8Form form, const W8A8Call& c) {
  return run_w8a8<bf16, RowCode::int8>(stream, form, c);
}

}  // namespace gpu

// The bfloat16 forms of the dense matrix product.

#include "gemm/sm80.h"

namespace gpu {

Status gemm_bf16(Stream stream, GemmForm form, const GemmCall& c) { return run_gemm<bf16>(stream, form, c); }

}  // namespace gpu

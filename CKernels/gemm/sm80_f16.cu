// The float16 forms of the dense matrix product.

#include "gemm/sm80.h"

namespace gpu {

Status gemm_f16(Stream stream, GemmForm form, const GemmCall& c) { return run_gemm<f16>(stream, form, c); }

}  // namespace gpu

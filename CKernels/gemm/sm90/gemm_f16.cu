// The float16 forms of the matrix product with wgmma.

#include "gemm/sm90/gemm.h"

namespace gpu {

Status gemm_sm90_f16(Stream stream, GemmSm90Form form, const GemmSm90Call& call) {
  return run_gemm_sm90<f16>(stream, form, call);
}

}  // namespace gpu

// The float16 forms of the product of activations and weights of 8 bits with wgmma.

#include "gemm/sm90/w8a8.h"

namespace gpu {

Status w8a8_sm90_f16(Stream stream, const W8A8Sm90Call& call) { return run_w8a8_sm90<f16>(stream, call); }

}  // namespace gpu

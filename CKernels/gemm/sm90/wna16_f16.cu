// Products of float16 activations with int4 weights on wgmma.

#include "gemm/sm90/wna16.h"

namespace gpu {

Status wna16_sm90_f16(Stream stream, const WNA16Sm90Call& call) {
  return launch_wna16_sm90<f16, WeightCode::int4>(stream, call);
}

}  // namespace gpu

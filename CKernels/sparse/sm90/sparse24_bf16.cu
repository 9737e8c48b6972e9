// The bfloat16 forms of the product with 2:4 sparse weights on wgmma.sp.

#include "sparse/sm90/sparse24.h"

namespace gpu {

Status sparse24_sm90_bf16(Stream stream, const Sparse24Sm90Call& call) {
  return run_sparse24_sm90<bf16>(stream, call);
}

}  // namespace gpu

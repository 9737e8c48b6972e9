// The float16 forms of the product of int8 activations with 2:4 sparse int8 weights.

#include "sparse/sparse24_w8a8_kernel.h"

namespace gpu {

Status sparse24_w8a8_f16(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Call& c) {
  return run_sparse24_w8a8<f16>(stream, form, c);
}

}  // namespace gpu

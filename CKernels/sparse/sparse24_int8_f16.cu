// The float16 forms of the product with 2:4 sparse 8-bit codes.

#include "sparse/sparse24_kernel.h"

namespace gpu {

Status sparse24_int8_f16(Stream stream, Sparse24Form form, const Sparse24Call& c) {
  return run_sparse24<f16, Sparse24Kind::int8>(stream, form, c);
}

}  // namespace gpu

// Columns of a matrix in another order: one block a row.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

/// Moves bits: bf16 and f16 are the same to it. A thread reads `width` numbers of columns at once, then the
/// elements one by one, which lie in a row that the first-level cache holds.
template <int width>
GPU_KERNEL(block_threads, 8)
gather_columns_kernel(GatherColumnsArguments p) {
  const int64_t row = block_x();
  const uint16_t* input = static_cast<const uint16_t*>(p.input) + row * p.input_stride;
  uint16_t* output = static_cast<uint16_t*>(p.output) + row * p.width;
  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    if constexpr (width == 1) {
      output[i] = input[p.order[i]];
    } else {
      Packed packed;
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Packed columns = *reinterpret_cast<const Packed*>(p.order + i + 4 * half);
        packed.word[2 * half] = input[columns.word[0]] | uint32_t(input[columns.word[1]]) << 16;
        packed.word[2 * half + 1] = input[columns.word[2]] | uint32_t(input[columns.word[3]]) << 16;
      }
      *reinterpret_cast<Packed*>(output + i) = packed;
    }
  }
}

}  // namespace

Status gather_columns(Stream stream, const GatherColumnsArguments& a) {
  if (a.rows < 0 || a.width < 0) return invalid_arguments;
  if (a.rows == 0 || a.width == 0) return 0;
  LaunchShape shape;
  shape.grid.x = a.rows;
  shape.threads = block_threads;
  if (allows_vectors(a.width, a.order, a.output)) {
    return launch(stream, "gather_columns<8>", shape, gather_columns_kernel<8>, a);
  }
  return launch(stream, "gather_columns<1>", shape, gather_columns_kernel<1>, a);
}

}  // namespace gpu

// Adds up the parts of matrix products that were split along k, in order.

#include "gemm/output.h"
#include "gemm/parts.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct SumArguments {
  OutputShape output;
  /// [parts, rows, columns of the output]
  const float* partials;
  int parts;
  int rows;
};

/// A thread adds four columns of a row, or fewer at the end of a row that is no multiple of four.
template <class T, bool vectors>
GPU_KERNEL(block_threads, 8)
sum_parts_kernel(SumArguments p) {
  constexpr int columns = 4;
  const int row = block_y();
  const int column = (block_x() * block_threads + thread_index()) * columns;
  if (column >= p.output.columns) return;
  const float* partial = p.partials + int64_t(row) * p.output.columns + column;
  const int64_t part_stride = int64_t(p.rows) * p.output.columns;
  float sum[columns] = {};
  for (int part = 0; part < p.parts; ++part, partial += part_stride) {
    float value[columns] = {};
    if constexpr (vectors) {
      const Packed packed = *reinterpret_cast<const Packed*>(partial);
      GPU_UNROLL
      for (int i = 0; i < columns; ++i) value[i] = float_of(packed.word[i]);
    } else {
      GPU_UNROLL
      for (int i = 0; i < columns; ++i) {
        if (column + i < p.output.columns) value[i] = partial[i];
      }
    }
    GPU_UNROLL
    for (int i = 0; i < columns; ++i) sum[i] = part == 0 ? value[i] : sum[i] + value[i];
  }
  GPU_UNROLL
  for (int i = 0; i < columns; i += 2) write_pair<T>(p.output, row, column + i, sum[i], sum[i + 1]);
}

template <class T>
Status run(Stream stream, const LaunchShape& shape, const SumArguments& p) {
  return p.output.columns % 4 == 0 ? launch(stream, "sum_parts<4>", shape, sum_parts_kernel<T, true>, p)
                                   : launch(stream, "sum_parts<1>", shape, sum_parts_kernel<T, false>, p);
}

}  // namespace

Status sum_parts(Stream stream, ElementType type, const OutputShape& output, int rows, int parts,
                 const float* partials) {
  constexpr int columns_a_block = 4 * block_threads;
  LaunchShape shape;
  shape.grid = {(output.columns + columns_a_block - 1) / columns_a_block, rows, 1};
  shape.threads = block_threads;
  const SumArguments p = {output, partials, parts, rows};
  return type == ElementType::bfloat16 ? run<bf16>(stream, shape, p) : run<f16>(stream, shape, p);
}

}  // namespace gpu

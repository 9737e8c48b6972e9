// Activations to codes of 8 bits, a scale a row: one block a row.

#include "device/device.h"
#include "gemm/quantize_row.h"
#include "gemm/w8a8.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

template <class T>
GPU_KERNEL(block_threads, 8)
quantize_rows_kernel(QuantizeRowsArguments p) {
  GPU_SHARED(shared);
  const int64_t row = block_x();
  quantize_row<T, block_threads>(p.target, row, static_cast<const T*>(p.input) + row * p.input_stride, p.k,
                                 reinterpret_cast<uint32_t*>(shared));
}

/// A thread moves 16 codes.
GPU_KERNEL(block_threads, 8)
code_rows_kernel(CodeRowsArguments p) {
  const int64_t row = block_y();
  const int row_bytes = int(code_row_bytes(p.k));
  const int first = (block_x() * block_threads + thread_index()) * 16;
  if (first >= row_bytes) return;
  const uint8_t* source = p.codes + row * p.code_stride + first;
  const uint32_t turned = p.code == RowCode::int8 ? 128u : 0u;
  Packed packed;
  GPU_UNROLL
  for (int w = 0; w < 4; ++w) {
    packed.word[w] = 0;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int column = 4 * w + i;
      const uint32_t code = first + column < p.k ? (source[column] ^ turned) & 255u : 0u;
      packed.word[w] |= code << (8 * i);
    }
  }
  *reinterpret_cast<Packed*>(p.rows + row * row_bytes + first) = packed;
}

struct CopyCall {
  const uint16_t* source;
  uint16_t* target;
  int64_t count;
};

GPU_KERNEL(block_threads, 8)
copy_halves_kernel(CopyCall c) {
  const int64_t step = int64_t(grid_x()) * block_threads;
  for (int64_t i = int64_t(block_x()) * block_threads + thread_index(); i < c.count; i += step) {
    c.target[i] = c.source[i];
  }
}

}  // namespace

Status copy_halves(Stream stream, const void* source, void* target, int64_t count) {
  if (count < 0) return invalid_arguments;
  if (count == 0) return 0;
  LaunchShape shape;
  shape.threads = block_threads;
  const int64_t blocks = (count + block_threads - 1) / block_threads;
  shape.grid.x = int(blocks < 256 ? blocks : 256);
  const CopyCall call = {static_cast<const uint16_t*>(source), static_cast<uint16_t*>(target), count};
  return launch(stream, "copy_halves", shape, copy_halves_kernel, call);
}

bool is_legal(const RowCodes& t) {
  return t.threshold > 0.0f && t.fixed_scale >= 0.0f &&
         (t.code != RowCode::float8 || std::isinf(t.threshold));
}

Status quantize_rows(Stream stream, const QuantizeRowsArguments& a) {
  if (a.rows < 0 || a.k < 0 || a.input_stride < a.k || !is_legal(a.target)) return invalid_arguments;
  if (a.rows == 0 || a.k == 0) return 0;
  LaunchShape shape;
  shape.grid.x = a.rows;
  shape.threads = block_threads;
  shape.shared_bytes = block_threads / warp_size * 4;
  return a.type == ElementType::bfloat16
             ? launch(stream, "quantize_rows", shape, quantize_rows_kernel<bf16>, a)
             : launch(stream, "quantize_rows", shape, quantize_rows_kernel<f16>, a);
}

Status repack_code_rows(Stream stream, const CodeRowsArguments& a) {
  if (a.n < 0 || a.k < 0 || a.n > 65535 * 16 || a.code_stride < a.k) return invalid_arguments;
  if (a.n == 0 || a.k == 0) return 0;
  constexpr int most_rows = 65535;  // the grid's y axis
  for (int first = 0; first < a.n; first += most_rows) {
    CodeRowsArguments part = a;
    part.n = a.n - first < most_rows ? a.n - first : most_rows;
    part.codes += first * a.code_stride;
    part.rows += first * code_row_bytes(a.k);
    LaunchShape shape;
    shape.threads = block_threads;
    shape.grid = {int((code_row_bytes(a.k) / 16 + block_threads - 1) / block_threads), part.n, 1};
    const Status status = launch(stream, "code_rows", shape, code_rows_kernel, part);
    if (status != 0) return status;
  }
  return 0;
}

}  // namespace gpu

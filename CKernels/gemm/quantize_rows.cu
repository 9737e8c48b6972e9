// Activations to codes of 8 bits, a scale a row: one block a row, which it reads twice.

#include "device/codes8.h"
#include "device/device.h"
#include "gemm/w8a8.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

/// ```
/// shared   the largest size of each warp, as bits
/// ```
template <class T>
GPU_KERNEL(block_threads, 8)
quantize_rows_kernel(QuantizeRowsArguments p) {
  GPU_SHARED(shared);
  uint32_t* of_warps = reinterpret_cast<uint32_t*>(shared);
  const int64_t row = block_x();
  const T* input = static_cast<const T*>(p.input) + row * p.input_stride;
  const bool is_float8 = p.code == RowCode::float8;
  // With E4M3 an infinity is no outlier either.
  const uint32_t threshold = is_float8 ? 0x7f800001u : bits_of(p.threshold);

  // Sizes as bits: greater ones are greater numbers, and a NaN, which no threshold leaves out, is the
  // greatest.
  uint32_t largest = 0;
  for (int i = thread_index(); i < p.k; i += block_threads) {
    const uint32_t size = bits_of(to_float(input[i])) & 0x7fffffffu;
    const bool is_kept = size < threshold || size > 0x7f800000u;
    if (is_kept && size > largest) largest = size;
  }
  GPU_UNROLL
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    const uint32_t other = shuffle_xor(largest, distance);
    largest = other > largest ? other : largest;
  }
  if (lane_index() == 0) of_warps[warp_index()] = largest;
  sync_block();
  for (int warp = 0; warp < block_threads / warp_size; ++warp) {
    largest = of_warps[warp] > largest ? of_warps[warp] : largest;
  }
  const float scale =
      p.fixed_scale != 0.0f ? p.fixed_scale : divide_rn(float_of(largest), largest_code(is_float8));
  if (thread_index() == 0) p.scales[row] = scale;

  // By its own scale no size is above 127.
  const float lowest = p.fixed_scale != 0.0f ? -128.0f : -127.0f;
  // A lane makes four codes of one word; two bits of the map belong to the 32 columns of eight lanes.
  const int row_bytes = int(code_row_bytes(p.k));
  uint32_t* codes = reinterpret_cast<uint32_t*>(p.codes + row * row_bytes);
  const int words = outlier_words(p.k);
  for (int word = warp_index(); word < words; word += block_threads / warp_size) {
    uint32_t map = 0;
    for (int step = 0; step < 4; ++step) {
      const int first = word * 512 + step * 128 + 4 * lane_index();
      uint32_t packed = 0;
      bool is_outlier = false;
      for (int i = 0; i < 4; ++i) {
        if (first + i >= p.k) break;
        const float x = to_float(input[first + i]);
        const uint32_t size = bits_of(x) & 0x7fffffffu;
        const bool is_out = size >= threshold && size <= 0x7f800000u;
        is_outlier |= is_out;
        // A row of zeros has no scale; a NaN has left its own in the row's.
        // int8 has no code for a NaN, nor for an infinity.
        const bool counts = !is_out && scale > 0.0f && (is_float8 || size < 0x7f800000u);
        if (!counts) continue;
        const float units = divide_rn(x, scale);
        const uint32_t code = !is_float8       ? int8_code(units, lowest)
                              : units == units ? float8_code(units)
                                               : float8_nan;
        packed |= code << (8 * i);
      }
      if (first < row_bytes) codes[first / 4] = packed;
      // Four lanes share a run of 16 columns: fold their votes into one bit each.
      const uint32_t votes = ballot(is_outlier);
      for (int run = 0; run < 8; ++run) {
        if ((votes >> (4 * run) & 15u) != 0) map |= 1u << (8 * step + run);
      }
    }
    if (lane_index() == 0 && !is_float8) p.outliers[row * words + word] = map;
  }
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

Status quantize_rows(Stream stream, const QuantizeRowsArguments& a) {
  if (a.rows < 0 || a.k < 0 || a.input_stride < a.k || !(a.threshold > 0.0f) || !(a.fixed_scale >= 0.0f) ||
      (a.code == RowCode::float8 && !std::isinf(a.threshold))) {
    return invalid_arguments;
  }
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

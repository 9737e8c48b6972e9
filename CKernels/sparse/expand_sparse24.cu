// 2:4 sparse weights as plain matrices, and the product that multiplies them so: for many tokens, where zeros
// gain nothing on devices whose dense tensor cores are reached and whose sparse ones are not.

#include "elementwise/vectors.h"
#include "sparse/sparse24_kernel.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

struct ExpandCall {
  Sparse24Weight weight;
  /// [n, k] of T, rows `stride` elements apart, a multiple of 4
  void* output;
  int64_t stride;
  int blocks, steps;
};

int64_t rounded_up(int64_t count, int unit) { return (count + unit - 1) / unit * unit; }

/// Four neighbours of a row, of which `pair` are not zero.
struct alignas(8) Quad {
  uint16_t element[4];
};

GPU_DEVICE Quad quad_of(uint32_t pair, uint32_t nibble) {
  Quad quad;
  GPU_UNROLL
  for (uint32_t i = 0; i < 4; ++i) {
    quad.element[i] = i == (nibble & 3u)   ? uint16_t(pair & 0xffffu)
                      : i == (nibble >> 2) ? uint16_t(pair >> 16)
                                           : uint16_t(0);
  }
  return quad;
}

/// A lane has both kept weights of quads q and q + 4 of a step, of two features; block y is a block of 16.
template <class T, Sparse24Kind kind>
GPU_KERNEL(block_threads, 4)
expand_sparse24_kernel(ExpandCall c) {
  using Units = Sparse24Units<kind>;
  using Reader = CodeReader<T, Units::code>;
  const Sparse24Weight& w = c.weight;
  const int unit = block_x() * block_threads + thread_index();
  if (unit >= c.steps * warp_size) return;
  const int block = block_y(), step = unit / warp_size, lane = unit % warp_size;
  const int g = lane / 4, q = lane % 4;
  uint32_t pairs[4];
  if constexpr (Units::coded) {
    const PackedWeight& p = w.codes;
    const auto* codes = static_cast<const unsigned char*>(p.codes);
    const auto words =
        Reader::load(codes + (int64_t(block) * Units::count(w.k) + step / 4) * span_bytes(Units::code), lane);
    const auto constants = GroupConstants<T, Units::code>::load(p, c.blocks, block, 16 * step / p.group, g);
    Reader::fragment(pairs, words, step % 4, constants.zero);
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) {
      const float scale = constants.scale[r % 2];
      pairs[r] = pack<T>(unpack_low<T>(pairs[r]) * scale, unpack_high<T>(pairs[r]) * scale);
    }
  } else {
    const Packed values = static_cast<const Packed*>(w.values)[(int64_t(block) * c.steps + step) * 32 + lane];
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) pairs[r] = values.word[r];
  }
  const uint32_t* metadata =
      w.metadata + (int64_t(block) * ((w.k + 63) / 64) + step / 2) * 32 + 4 * g + step % 2 * 2;
  GPU_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int feature = 16 * block + g + 8 * (r % 2), k = 32 * step + 4 * (q + 4 * (r / 2));
    if (feature >= w.n || k >= w.k) continue;
    const uint32_t nibble = metadata[r / 2] >> (4 * q + 16 * (r % 2)) & 15u;
    *reinterpret_cast<Quad*>(static_cast<T*>(c.output) + feature * c.stride + k) = quad_of(pairs[r], nibble);
  }
}

template <class T>
Status run_expand(Stream stream, const ExpandCall& c) {
  LaunchShape shape;
  shape.threads = block_threads;
  shape.grid = {(c.steps * warp_size + block_threads - 1) / block_threads, c.blocks, 1};
  if (c.weight.values) {
    return launch(stream, "expand_sparse24", shape, expand_sparse24_kernel<T, Sparse24Kind::values>, c);
  }
  if (c.weight.codes.code == WeightCode::int8) {
    return launch(stream, "expand_sparse24<int8>", shape, expand_sparse24_kernel<T, Sparse24Kind::int8>, c);
  }
  return launch(stream, "expand_sparse24<int4>", shape, expand_sparse24_kernel<T, Sparse24Kind::int4>, c);
}

}  // namespace

Status expand_sparse24(Stream stream, ElementType type, const Sparse24Weight& w, void* output,
                       int64_t stride) {
  constexpr int most_features = 65535 * 16;  // the grid's y axis
  if (w.n < 0 || w.k < 0 || w.n > most_features || stride < w.k || stride % 4 != 0) return invalid_arguments;
  if (w.n == 0 || w.k == 0) return 0;
  if (!is_legal_sparse24(w) || reinterpret_cast<uintptr_t>(output) % 8 != 0) return invalid_arguments;
  const ExpandCall c = {w, output, stride, (w.n + 15) / 16, (w.k + 31) / 32};
  return type == ElementType::bfloat16 ? run_expand<bf16>(stream, c) : run_expand<f16>(stream, c);
}

int64_t expanded_sparse24_workspace_bytes(int n, int k) {
  return rounded_up(n * dequantized_stride(k) * 2, 256) + gemm_workspace_most(n, k) * 4;
}

Status gemm_expanded_sparse24(Stream stream, const Sparse24Arguments& a, bool has_wgmma, void* workspace,
                              int64_t bytes) {
  const Sparse24Weight& w = a.weight;
  if (w.n < 0 || w.k < 0 || bytes < expanded_sparse24_workspace_bytes(w.n, w.k)) return invalid_arguments;
  const int64_t stride = dequantized_stride(w.k);
  const Status status = expand_sparse24(stream, a.type, w, workspace, stride);
  if (status != 0) return status;
  const GemmArguments gemm = {a.type,          a.m,          w.n,           w.k,    a.input,
                              a.input_stride,  workspace,    stride,        a.bias, a.output,
                              a.output_stride, a.accumulate, a.float_output};
  if (has_wgmma && gemm_sm90_supports(gemm)) return gemm_sm90(stream, gemm);
  const int64_t matrix = rounded_up(w.n * stride * 2, 256);
  auto* partials = reinterpret_cast<float*>(static_cast<unsigned char*>(workspace) + matrix);
  return gemm_sm80(stream, gemm, {partials, (bytes - matrix) / 4});
}

}  // namespace gpu

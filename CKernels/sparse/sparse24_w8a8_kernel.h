// The product of int8 activations with 2:4 sparse int8 weights on mma.sp and cp.async (sm_80 and later).
//
// A block's tile is features x tokens. Per 64 k of 16 features and 8 tokens: 512 bytes of codes, 128 of
// metadata, one ldmatrix.x4, one mma.sp.
#pragma once

#include "device/device.h"
#include "device/mma_sparse.h"
#include "device/tile.h"
#include "gemm/operand.h"
#include "gemm/output.h"
#include "gemm/w8a8_kernel.h"
#include "sparse/sparse24_w8a8.h"

namespace gpu {

struct Sparse24W8A8Call {
  Sparse24W8A8Arguments sparse;
  OutputShape output;
  /// Tiles of 128 k.
  int tiles;
  int groups;
};

/// ```
/// shared   stage 0: codes [features / 16][2][512 bytes] | metadata [features / 16][2][128 bytes]
///                   | tokens, rows of 128 codes      stage 1 ...
/// ```
template <int features_, int tokens_, int warps_f_, int warps_t_, int stages_, int blocks_>
struct Sparse24W8A8Shape {
  static constexpr int features = features_;
  static constexpr int tokens = tokens_;
  /// In elements of 16 bits, and in codes.
  static constexpr int depth = 64;
  static constexpr int codes = 2 * depth;
  static constexpr int warps_t = warps_t_;
  static constexpr int stages = stages_;
  static constexpr int blocks = blocks_;
  static constexpr int threads = warps_f_ * warps_t_ * warp_size;
  static constexpr int warp_features = features / warps_f_;
  static constexpr int warp_tokens = tokens / warps_t_;
  static constexpr int weight_bytes = features / 16 * 2 * 512;
  static constexpr int metadata_bytes = features / 16 * 2 * 128;
  static constexpr int stage_bytes = weight_bytes + metadata_bytes + Tile<depth>::bytes(tokens);
  static constexpr int shared_bytes = stages * stage_bytes;
  static_assert(tokens * Tile<depth>::chunks % threads == 0 && weight_bytes / 16 % threads == 0,
                "each thread copies the same number of chunks");
  static_assert(metadata_bytes / 16 <= threads, "metadata takes one copy a thread");
  static_assert(shared_bytes <= 99 * 1024, "what sm_89 offers a block");
};

using Sparse24W8A8Tokens16 = Sparse24W8A8Shape<64, 16, 4, 1, 4, 4>;
using Sparse24W8A8Tokens64 = Sparse24W8A8Shape<64, 64, 4, 1, 4, 2>;
using Sparse24W8A8Tile = Sparse24W8A8Shape<128, 128, 4, 2, 3, 1>;

template <class T, class Shape>
GPU_KERNEL(Shape::threads, Shape::blocks)
sparse24_w8a8_kernel(Sparse24W8A8Call c) {
  using Rows = Tile<Shape::depth>;
  constexpr int f_tiles = Shape::warp_features / 16;
  constexpr int t_tiles = Shape::warp_tokens / 8;
  const W8A8Arguments& p = c.sparse.gemm;
  GPU_SHARED(shared);

  const int first_feature = block_x() * Shape::features;
  const int first_token = block_y() * Shape::tokens;
  const int blocks = (p.n + 15) / 16, spans = (p.k + 63) / 64;
  const int row_pairs = int(code_row_bytes(p.k)) / 2;
  const SharedAddress first_stage = shared_address(shared);
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tile = [&](int tile) {
    if (tile < c.tiles) {
      const int stage = tile % Shape::stages * Shape::stage_bytes;
      const auto* weight = static_cast<const unsigned char*>(c.sparse.packed);
      GPU_UNROLL
      for (int step = 0; step < Shape::weight_bytes / 16 / Shape::threads; ++step) {
        const int chunk = step * Shape::threads + thread_index();
        const int block = first_feature / 16 + chunk / 64, span = 2 * tile + chunk / 32 % 2;
        const bool present = block < blocks && span < spans;
        const int64_t offset = present ? ((int64_t(block) * spans + span) * 32 + chunk % 32) * 16 : 0;
        copy_async(first_stage + SharedAddress(stage + chunk * 16), weight + offset, present ? 16 : 0);
      }
      if (thread_index() < Shape::metadata_bytes / 16) {
        const int chunk = thread_index();
        const int block = first_feature / 16 + chunk / 16, span = 2 * tile + chunk / 8 % 2;
        const bool present = block < blocks && span < spans;
        const int64_t offset = present ? (int64_t(block) * spans + span) * 32 + chunk % 8 * 4 : 0;
        // Zeros are no legal metadata, but then nothing past them is computed: the products are skipped.
        copy_async(first_stage + SharedAddress(stage + Shape::weight_bytes + chunk * 16),
                   c.sparse.metadata + offset, present ? 16 : 0);
      }
      const int tokens = stage + Shape::weight_bytes + Shape::metadata_bytes;
      copy_operand<bf16, Shape, Shape::tokens, true>(shared + tokens, first_stage + SharedAddress(tokens),
                                                     p.codes, row_pairs, first_token, p.m,
                                                     tile * Shape::depth, row_pairs);
    }
    commit_copies();
  };

  const int warp_block = warp_index() / Shape::warps_t * f_tiles;
  const int warp_token = warp_index() % Shape::warps_t * Shape::warp_tokens;
  const int g = lane_index() / 4, q = lane_index() % 4;
  auto feature_of = [&](int f, int half) { return first_feature + 16 * (warp_block + f) + 8 * half + g; };

  int32_t products[f_tiles][t_tiles][4] = {};
  float sum[f_tiles][t_tiles][4] = {};
  auto fold_group = [&](int group) {
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      float scale[2];
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int feature = feature_of(f, half);
        scale[half] = feature < p.n ? weight_scale(p, c.groups, feature, group) : 0.0f;
      }
      GPU_UNROLL
      for (int t = 0; t < t_tiles; ++t) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) {
          sum[f][t][e] = fma_rn(scale[e / 2], float(products[f][t][e]), sum[f][t][e]);
          products[f][t][e] = 0;
        }
      }
    }
  };

  const int group_steps = (p.group + 63) / 64;
  int group = 0, steps_left = group_steps;
  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy_tile(stage);
  for (int tile = 0; tile < c.tiles; ++tile) {
    // This tile has arrived, and every warp is done with the one whose place the next copy takes.
    wait_copies<Shape::stages - 2>();
    sync_block();
    copy_tile(tile + Shape::stages - 1);
    const int stage = tile % Shape::stages * Shape::stage_bytes;
    const SharedAddress tokens =
        first_stage + SharedAddress(stage + Shape::weight_bytes + Shape::metadata_bytes);
    GPU_UNROLL
    for (int step = 0; step < 2; ++step) {
      // A warp whose features are all past the end has no metadata.
      if (2 * tile + step >= spans || first_feature / 16 + warp_block >= blocks) break;
      uint32_t b[t_tiles][4];
      GPU_UNROLL
      for (int t = 0; t < t_tiles; ++t) {
        // Four times sixteen k of eight tokens.
        load_matrices(
            b[t], tokens + Rows::offset(warp_token + 8 * t + lane_index() % 8, 4 * step + lane_index() / 8));
      }
      GPU_UNROLL
      for (int f = 0; f < f_tiles; ++f) {
        if (first_feature / 16 + warp_block + f >= blocks) break;
        const int place = ((warp_block + f) * 2 + step) * 32 + lane_index();
        const Packed codes = *reinterpret_cast<const Packed*>(shared + stage + place * 16);
        const uint32_t metadata =
            reinterpret_cast<const uint32_t*>(shared + stage + Shape::weight_bytes)[place];
        uint32_t a[4];
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) a[i] = codes.word[i];
        GPU_UNROLL
        for (int t = 0; t < t_tiles; ++t) mma_sparse_m16n8k64_s8(products[f][t], a, b[t], metadata);
      }
      if (--steps_left == 0) {
        fold_group(group);
        group += 1;
        steps_left = group_steps;
      }
    }
  }
  wait_copies<0>();
  if (group < c.groups) fold_group(group);

  GPU_UNROLL
  for (int t = 0; t < t_tiles; ++t) {
    const int token = first_token + warp_token + 8 * t + 2 * q;
    float scale[2];
    GPU_UNROLL
    for (int i = 0; i < 2; ++i) scale[i] = token + i < p.m ? p.row_scales[token + i] : 0.0f;
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float value[2] = {multiply_rn(sum[f][t][2 * half], scale[0]),
                                multiply_rn(sum[f][t][2 * half + 1], scale[1])};
        // Lanes of neighbouring features exchange a token each, so that each has two features of one.
        const bool odd = g % 2 == 1;
        const float received = shuffle_xor(odd ? value[0] : value[1], 4);
        const int row = odd ? token + 1 : token, feature = feature_of(f, half);
        if (row >= p.m) continue;
        write_pair<T>(c.output, row, odd ? feature - 1 : feature, odd ? received : value[0],
                      odd ? value[1] : received);
      }
    }
  }
}

template <class T, class Shape>
Status launch_sparse24_w8a8(Stream stream, const char* name, const Sparse24W8A8Call& c) {
  const W8A8Arguments& p = c.sparse.gemm;
  LaunchShape shape;
  shape.grid = {(p.n + Shape::features - 1) / Shape::features, (p.m + Shape::tokens - 1) / Shape::tokens, 1};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, name, shape, sparse24_w8a8_kernel<T, Shape>, c);
}

template <class T>
Status run_sparse24_w8a8(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Call& c) {
  switch (form) {
    case Sparse24W8A8Form::tokens16:
      return launch_sparse24_w8a8<T, Sparse24W8A8Tokens16>(stream, "sparse24_w8a8<tokens16>", c);
    case Sparse24W8A8Form::tokens64:
      return launch_sparse24_w8a8<T, Sparse24W8A8Tokens64>(stream, "sparse24_w8a8<tokens64>", c);
    case Sparse24W8A8Form::tile:
      return launch_sparse24_w8a8<T, Sparse24W8A8Tile>(stream, "sparse24_w8a8<tile>", c);
  }
  return invalid_arguments;
}

Status sparse24_w8a8_bf16(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Call& c);
Status sparse24_w8a8_f16(Stream stream, Sparse24W8A8Form form, const Sparse24W8A8Call& c);

}  // namespace gpu

// The product with weights of few bits on mma.sync and cp.async (sm_80 and later).
//
// Weights are the left operand, so a block's tile is features x tokens. Codes go through shared memory as
// they are and become fragments in registers (gemm/weight_codes.h). As in the dense product (gemm/sm80.h), k
// is cut into parts by n and k alone, and every form sums groups in order, then parts in order: the same
// bits.
//
//   tokens8 ... tokens64   a block computes one part of 64 features and up to 64 tokens
//   tile                   a block computes all parts of 128 features and 64 tokens
//
#pragma once

#include "device/device.h"
#include "device/tile.h"
#include "gemm/operand.h"
#include "gemm/output.h"
#include "gemm/weight_codes.h"
#include "gemm/wna16.h"

namespace gpu {

enum class WNA16Form { tokens8, tokens16, tokens32, tokens64, tile };

struct WNA16Call {
  WNA16Arguments gemm;
  OutputShape output;
  /// [parts, m, n]; null when a block writes the output itself.
  float* partials;
  /// Tiles of k in a part, and in all.
  int part_tiles;
  int tiles;
  /// The input allows copies of 16 bytes.
  bool vectors;
};

/// ```
/// shared   stage 0: codes [features / 16][2][span] | tokens, rows of 128 elements    stage 1    ...
/// ```
template <int features_, int tokens_, int warps_f_, int warps_t_, int stages_, int blocks_, bool all_parts_>
struct WNA16Shape {
  static constexpr int features = features_;
  static constexpr int tokens = tokens_;
  static constexpr int depth = 128;
  static constexpr int steps = depth / 16;
  static constexpr int warps_t = warps_t_;
  static constexpr int stages = stages_;
  static constexpr int blocks = blocks_;
  static constexpr bool all_parts = all_parts_;
  static constexpr int threads = warps_f_ * warps_t_ * warp_size;
  static constexpr int warp_features = features / warps_f_;
  static constexpr int warp_tokens = tokens / warps_t_;
  static constexpr int token_bytes = Tile<depth>::bytes(tokens);
  static_assert(tokens * Tile<depth>::chunks % threads == 0, "each thread copies the same number of chunks");

  GPU_DEVICE_OR_HOST static constexpr int code_bytes(WeightCode code) {
    return features / 16 * (depth / 64) * span_bytes(code);
  }
  GPU_DEVICE_OR_HOST static constexpr int stage_bytes(WeightCode code) {
    return code_bytes(code) + token_bytes;
  }
  GPU_DEVICE_OR_HOST static constexpr int shared_bytes(WeightCode code) { return stages * stage_bytes(code); }
};

using WNA16Tokens8 = WNA16Shape<64, 8, 4, 1, 4, 4, false>;
using WNA16Tokens16 = WNA16Shape<64, 16, 4, 1, 4, 4, false>;
using WNA16Tokens32 = WNA16Shape<64, 32, 4, 1, 4, 3, false>;
using WNA16Tokens64 = WNA16Shape<64, 64, 4, 1, 3, 2, false>;
using WNA16Tile = WNA16Shape<128, 64, 4, 2, 3, 1, true>;

/// Scale and zero of a lane's two features of one 16-feature block.
template <class T, WeightCode code>
struct GroupConstants {
  using Zero = typename CodeReader<T, code>::Zero;
  float scale[2];
  Zero zero[2];

  GPU_DEVICE static GroupConstants load(const PackedWeight& w, int blocks, int block, int group, int g) {
    GroupConstants c;
    const int64_t pair = (int64_t(group) * blocks + block) * 8 + g;
    if (w.scale_type == ScaleType::float32) {
      const FloatPair scales = static_cast<const FloatPair*>(w.scales)[pair];
      c.scale[0] = scales.low;
      c.scale[1] = scales.high;
    } else {
      const uint32_t scales = static_cast<const uint32_t*>(w.scales)[pair];
      const bool is_bf16 = w.scale_type == ScaleType::bfloat16;
      c.scale[0] = is_bf16 ? unpack_low<bf16>(scales) : unpack_low<f16>(scales);
      c.scale[1] = is_bf16 ? unpack_high<bf16>(scales) : unpack_high<f16>(scales);
    }
    constexpr uint32_t middle = 0x0101u << (code_bits(code) - 1);
    const uint32_t zeros = w.zeros ? reinterpret_cast<const uint16_t*>(w.zeros)[pair] : middle;
    c.zero[0] = Zero::of(zeros & 255u);
    c.zero[1] = Zero::of(zeros >> 8);
    return c;
  }
};

template <class T, WeightCode code, class Shape, bool vectors>
GPU_KERNEL(Shape::threads, Shape::blocks)
wna16_kernel(WNA16Call c) {
  using Rows = Tile<Shape::depth>;
  using Reader = CodeReader<T, code>;
  using Constants = GroupConstants<T, code>;
  constexpr int code_bytes = Shape::code_bytes(code), stage_bytes = Shape::stage_bytes(code);
  constexpr int span_chunks = span_bytes(code) / 16;
  constexpr int f_tiles = Shape::warp_features / 16;
  constexpr int t_tiles = Shape::warp_tokens / 8;
  const WNA16Arguments& p = c.gemm;
  const PackedWeight& w = p.weight;
  GPU_SHARED(shared);

  const int part = Shape::all_parts ? 0 : block_y();
  const int first_token = (Shape::all_parts ? block_y() : block_z()) * Shape::tokens;
  const int first_feature = block_x() * Shape::features;
  const int first_tile = part * c.part_tiles;
  const bool to_end = Shape::all_parts || first_tile + c.part_tiles > c.tiles;
  const int tiles_end = to_end ? c.tiles : first_tile + c.part_tiles;
  const int blocks = (w.n + 15) / 16, spans = (w.k + 63) / 64;

  const SharedAddress first_stage = shared_address(shared);
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tile = [&](int tile) {
    if (tile < tiles_end) {
      const int stage = tile % Shape::stages * stage_bytes;
      const unsigned char* codes = static_cast<const unsigned char*>(w.codes);
      GPU_UNROLL
      for (int step = 0; step < (code_bytes / 16 + Shape::threads - 1) / Shape::threads; ++step) {
        const int chunk = step * Shape::threads + thread_index();
        if (code_bytes / 16 % Shape::threads != 0 && chunk >= code_bytes / 16) break;
        const int block = first_feature / 16 + chunk / (2 * span_chunks);
        const int span = 2 * tile + chunk / span_chunks % 2;
        const bool present = block < blocks && span < spans;
        const int64_t offset =
            present ? ((int64_t(block) * spans + span) * span_chunks + chunk % span_chunks) * 16 : 0;
        copy_async(first_stage + SharedAddress(stage + chunk * 16), codes + offset, present ? 16 : 0);
      }
      copy_operand<T, Shape, Shape::tokens, vectors>(
          shared + stage + code_bytes, first_stage + SharedAddress(stage + code_bytes), p.input,
          p.input_stride, first_token, p.m, tile * Shape::depth, w.k);
    }
    commit_copies();
  };

  const int warp_block = warp_index() / Shape::warps_t * f_tiles;
  const int warp_token = warp_index() % Shape::warps_t * Shape::warp_tokens;
  const int g = lane_index() / 4, q = lane_index() % 4;
  const LaneRow b_row = lane_row_of_b();

  // Groups are counted in steps of 16 k; the constants of the next are on their way while one is summed.
  const int group_steps = (w.group + 15) / 16;
  const int last_group = (w.k + w.group - 1) / w.group - 1;
  int group = first_tile * Shape::steps / group_steps;
  int steps_left = group_steps - first_tile * Shape::steps % group_steps;
  Constants now[f_tiles] = {}, next[f_tiles] = {};
  auto load_constants = [&](Constants(&constants)[f_tiles], int wanted) {
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      const int block = first_feature / 16 + warp_block + f;
      // Past the end of n and k any constants will do: nothing is written, or zeros are multiplied.
      constants[f] = Constants::load(w, blocks, block < blocks ? block : blocks - 1,
                                     wanted < last_group ? wanted : last_group, g);
    }
  };

  // What the tensor cores sum of a group, the part's sum of scaled groups, and the sum of the parts before.
  float products[f_tiles][t_tiles][4] = {}, sum[f_tiles][t_tiles][4] = {};
  [[maybe_unused]] float total[f_tiles][t_tiles][4];
  auto fold_group = [&] {
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      GPU_UNROLL
      for (int t = 0; t < t_tiles; ++t) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) {
          sum[f][t][e] = fma_rn(now[f].scale[e / 2], products[f][t][e], sum[f][t][e]);
          products[f][t][e] = 0;
        }
      }
    }
  };

  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy_tile(first_tile + stage);
  if (w.k > 0) {
    load_constants(now, group);
    load_constants(next, group + 1);
  }
  int part_end = c.part_tiles;
  for (int tile = first_tile; tile < tiles_end; ++tile) {
    if constexpr (Shape::all_parts) {
      if (tile == part_end) {
        if (steps_left != group_steps) fold_group();
        GPU_UNROLL
        for (int f = 0; f < f_tiles; ++f) {
          GPU_UNROLL
          for (int t = 0; t < t_tiles; ++t) {
            GPU_UNROLL
            for (int e = 0; e < 4; ++e) {
              total[f][t][e] = tile == c.part_tiles ? sum[f][t][e] : total[f][t][e] + sum[f][t][e];
              sum[f][t][e] = 0;
            }
          }
        }
        part_end += c.part_tiles;
      }
    }
    // This tile has arrived, and every warp is done with the one whose place the next copy takes.
    wait_copies<Shape::stages - 2>();
    sync_block();
    copy_tile(tile + Shape::stages - 1);

    const int stage = tile % Shape::stages * stage_bytes;
    const SharedAddress tokens = first_stage + SharedAddress(stage + code_bytes);
    GPU_UNROLL
    for (int span = 0; span < Shape::depth / 64; ++span) {
      typename Reader::Words codes[f_tiles];
      GPU_UNROLL
      for (int f = 0; f < f_tiles; ++f) {
        const int at = stage + (2 * (warp_block + f) + span) * span_bytes(code);
        codes[f] = Reader::load(shared + at, lane_index());
      }
      GPU_UNROLL
      for (int s = 0; s < 4; ++s) {
        const int step = 4 * span + s;
        uint32_t b[t_tiles][2];
        if constexpr (t_tiles == 1) {
          // The halves of k of eight tokens; the upper lanes' addresses do not count.
          load_matrices(b[0], tokens + Rows::offset(warp_token + b_row.row % 8, 2 * step + b_row.chunk));
        } else {
          GPU_UNROLL
          for (int t = 0; t < t_tiles; t += 2) {
            uint32_t four[4];
            load_matrices(four,
                          tokens + Rows::offset(warp_token + 8 * t + b_row.row, 2 * step + b_row.chunk));
            b[t][0] = four[0];
            b[t][1] = four[1];
            b[t + 1][0] = four[2];
            b[t + 1][1] = four[3];
          }
        }
        GPU_UNROLL
        for (int f = 0; f < f_tiles; ++f) {
          uint32_t a[4];
          Reader::fragment(a, codes[f], s, now[f].zero);
          GPU_UNROLL
          for (int t = 0; t < t_tiles; ++t) mma_m16n8k16<T>(products[f][t], a, b[t][0], b[t][1]);
        }
        if (--steps_left == 0) {
          fold_group();
          steps_left = group_steps;
          group += 1;
          GPU_UNROLL
          for (int f = 0; f < f_tiles; ++f) now[f] = next[f];
          load_constants(next, group + 1);
        }
      }
    }
  }
  wait_copies<0>();
  if (w.k > 0 && steps_left != group_steps) fold_group();

  GPU_UNROLL
  for (int f = 0; f < f_tiles; ++f) {
    GPU_UNROLL
    for (int t = 0; t < t_tiles; ++t) {
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        float value[2] = {sum[f][t][2 * half], sum[f][t][2 * half + 1]};
        if constexpr (Shape::all_parts) {
          if (c.tiles > c.part_tiles) {
            value[0] = total[f][t][2 * half] + value[0];
            value[1] = total[f][t][2 * half + 1] + value[1];
          }
        }
        const int feature = first_feature + 16 * (warp_block + f) + 8 * half + g;
        const int token = first_token + warp_token + 8 * t + 2 * q;
        if (!Shape::all_parts && c.partials) {
          float* target = c.partials + (int64_t(part) * p.m + token) * w.n + feature;
          if (feature < w.n && token < p.m) target[0] = value[0];
          if (feature < w.n && token + 1 < p.m) target[w.n] = value[1];
        } else {
          // Lanes of neighbouring features exchange a token each, so that each has two features of one.
          const bool odd = g % 2 == 1;
          const float received = shuffle_xor(odd ? value[0] : value[1], 4);
          const int row = odd ? token + 1 : token;
          if (row >= p.m) continue;
          write_pair<T>(c.output, row, odd ? feature - 1 : feature, odd ? received : value[0],
                        odd ? value[1] : received);
        }
      }
    }
  }
}

template <class T, WeightCode code, class Shape>
Status launch_wna16(Stream stream, const char* name, const WNA16Call& c) {
  static_assert(Shape::shared_bytes(code) <= 99 * 1024, "what sm_89 offers a block");
  const int features = (c.gemm.weight.n + Shape::features - 1) / Shape::features;
  const int tokens = (c.gemm.m + Shape::tokens - 1) / Shape::tokens;
  LaunchShape shape;
  shape.grid = {features, tokens, 1};
  if (!Shape::all_parts) {
    const int parts = c.partials ? (c.tiles + c.part_tiles - 1) / c.part_tiles : 1;
    shape.grid = {features, parts, tokens};
  }
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes(code);
  if (c.vectors) return launch(stream, name, shape, wna16_kernel<T, code, Shape, true>, c);
  if constexpr (std::is_same_v<Shape, WNA16Tokens64> || std::is_same_v<Shape, WNA16Tile>) {
    return launch(stream, name, shape, wna16_kernel<T, code, Shape, false>, c);
  } else {
    return launch_wna16<T, code, WNA16Tokens64>(stream, "wna16<tokens64>", c);
  }
}

/// int4, the code that most models have, has a form for each number of tokens; the others go without those
/// between. All forms give the same bits.
template <class T, WeightCode code>
Status run_wna16(Stream stream, WNA16Form form, const WNA16Call& c) {
  switch (form) {
    case WNA16Form::tokens8:
      return launch_wna16<T, code, WNA16Tokens8>(stream, "wna16<tokens8>", c);
    case WNA16Form::tokens16:
      if constexpr (code == WeightCode::int4)
        return launch_wna16<T, code, WNA16Tokens16>(stream, "wna16<tokens16>", c);
      [[fallthrough]];
    case WNA16Form::tokens32:
      if constexpr (code == WeightCode::int4)
        return launch_wna16<T, code, WNA16Tokens32>(stream, "wna16<tokens32>", c);
      [[fallthrough]];
    case WNA16Form::tokens64:
      return launch_wna16<T, code, WNA16Tokens64>(stream, "wna16<tokens64>", c);
    case WNA16Form::tile:
      return launch_wna16<T, code, WNA16Tile>(stream, "wna16<tile>", c);
  }
  return invalid_arguments;
}

// One source file each, so that they compile side by side.
Status wna16_int4_bf16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int4_f16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int2_bf16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int2_f16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int3_bf16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int3_f16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int8_bf16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_int8_f16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_float8_bf16(Stream stream, WNA16Form form, const WNA16Call& c);
Status wna16_float8_f16(Stream stream, WNA16Form form, const WNA16Call& c);

/// `gemm_wna16` in a form of one's choice, for tests and measurements.
Status gemm_wna16_as(Stream stream, WNA16Form form, const WNA16Arguments& arguments,
                     const GemmWorkspace& workspace);

}  // namespace gpu

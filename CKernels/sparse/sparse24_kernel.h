// The product with 2:4 sparse weights on mma.sp and cp.async (sm_80 and later).
//
// A block's tile is features x tokens, as with dense codes (gemm/wna16_kernel.h), and k is cut into parts
// by n and k alone: every form sums steps (and groups of codes) in order, then parts in order, so the bits
// are the same.
//
//   tokens8 ... tokens64   a block computes one part of 64 features and up to 64 tokens
//   tile                   a block computes all parts of 128 features and 64 tokens
//
// Per 32 k of 16 features and 8 tokens: 512 bytes of values (128 of int4, 256 of int8), 64 of metadata, one
// ldmatrix.x4, one mma.sp.
#pragma once

#include "device/device.h"
#include "device/mma_sparse.h"
#include "device/tile.h"
#include "gemm/operand.h"
#include "gemm/output.h"
#include "gemm/wna16_kernel.h"
#include "sparse/sparse24.h"

namespace gpu {

enum class Sparse24Form { tokens8, tokens16, tokens32, tokens64, tile };

struct Sparse24Call {
  Sparse24Arguments gemm;
  OutputShape output;
  /// [parts, m, n]; null when a block writes the output itself.
  float* partials;
  /// Tiles of k in a part, and in all.
  int part_tiles;
  int tiles;
  /// The input allows copies of 16 bytes.
  bool vectors;
};

/// What is kept of a weight.
enum class Sparse24Kind { values, int4, int8 };

/// Where the kept weights of 16 features lie, in chunks of 16 bytes: `unit_chunks` one behind the other, so
/// many for a tile of 128 k. `code` of values stands for nothing.
template <Sparse24Kind kind>
struct Sparse24Units {
  static constexpr bool coded = kind != Sparse24Kind::values;
  static constexpr WeightCode code = kind == Sparse24Kind::int8 ? WeightCode::int8 : WeightCode::int4;
  static constexpr int tile_chunks = coded ? span_bytes(code) / 16 : 4 * 32;
  static constexpr int unit_chunks = coded ? tile_chunks : 32;

  GPU_DEVICE static int count(int k) { return coded ? (k + 127) / 128 : (k + 31) / 32; }
};

/// ```
/// shared   stage 0: weights [features / 16][tile_chunks] | metadata [features / 16][2][128 bytes]
///                   | tokens, rows of 128 elements      stage 1 ...
/// ```
template <Sparse24Kind kind_, int features_, int tokens_, int warps_f_, int warps_t_, int stages_,
          int blocks_, bool all_parts_>
struct Sparse24Shape {
  static constexpr Sparse24Kind kind = kind_;
  using Units = Sparse24Units<kind>;
  static constexpr int features = features_;
  static constexpr int tokens = tokens_;
  static constexpr int depth = 128;
  static constexpr int steps = depth / 32;
  static constexpr int warps_t = warps_t_;
  static constexpr int stages = stages_;
  static constexpr int blocks = blocks_;
  static constexpr bool all_parts = all_parts_;
  static constexpr int threads = warps_f_ * warps_t_ * warp_size;
  static constexpr int warp_features = features / warps_f_;
  static constexpr int warp_tokens = tokens / warps_t_;
  static constexpr int metadata_chunks = 2 * 8;
  static constexpr int weight_bytes = features / 16 * Units::tile_chunks * 16;
  static constexpr int metadata_bytes = features / 16 * metadata_chunks * 16;
  static constexpr int stage_bytes = weight_bytes + metadata_bytes + Tile<depth>::bytes(tokens);
  static constexpr int shared_bytes = stages * stage_bytes;
  static_assert(tokens * Tile<depth>::chunks % threads == 0 && weight_bytes / 16 % threads == 0,
                "each thread copies the same number of chunks");
  static_assert(metadata_bytes / 16 <= threads, "metadata takes one copy a thread");
  static_assert(shared_bytes <= 99 * 1024, "what sm_89 offers a block");
};

template <Sparse24Kind kind>
struct Sparse24Shapes {
  using Tokens8 = Sparse24Shape<kind, 64, 8, 4, 1, 4, 4, false>;
  using Tokens16 = Sparse24Shape<kind, 64, 16, 4, 1, 4, 3, false>;
  using Tokens32 = Sparse24Shape<kind, 64, 32, 4, 1, 4, 2, false>;
  using Tokens64 = Sparse24Shape<kind, 64, 64, 4, 1, 3, 2, false>;
  using Whole = Sparse24Shape<kind, 128, 64, 4, 2, 2, 1, true>;
};

template <class T, class Shape, bool vectors>
GPU_KERNEL(Shape::threads, Shape::blocks)
sparse24_kernel(Sparse24Call c) {
  using Rows = Tile<Shape::depth>;
  using Units = typename Shape::Units;
  constexpr bool coded = Units::coded;
  using Reader = CodeReader<T, Units::code>;
  using Constants = GroupConstants<T, Units::code>;
  constexpr int f_tiles = Shape::warp_features / 16;
  constexpr int t_tiles = Shape::warp_tokens / 8;
  const Sparse24Arguments& p = c.gemm;
  const Sparse24Weight& w = p.weight;
  [[maybe_unused]] const PackedWeight& packed = w.codes;
  GPU_SHARED(shared);

  const int part = Shape::all_parts ? 0 : block_y();
  const int first_token = (Shape::all_parts ? block_y() : block_z()) * Shape::tokens;
  const int first_feature = block_x() * Shape::features;
  const int first_tile = part * c.part_tiles;
  const bool to_end = Shape::all_parts || first_tile + c.part_tiles > c.tiles;
  const int tiles_end = to_end ? c.tiles : first_tile + c.part_tiles;
  const int blocks = (w.n + 15) / 16, spans = (w.k + 63) / 64;
  constexpr int units_a_tile = Units::tile_chunks / Units::unit_chunks;
  const int units = Units::count(w.k);

  const SharedAddress first_stage = shared_address(shared);
  // Past the last tile nothing is copied, but the group counts.
  auto copy_tile = [&](int tile) {
    if (tile < tiles_end) {
      const int stage = tile % Shape::stages * Shape::stage_bytes;
      const auto* source = static_cast<const unsigned char*>(coded ? packed.codes : w.values);
      GPU_UNROLL
      for (int step = 0; step < Shape::weight_bytes / 16 / Shape::threads; ++step) {
        const int chunk = step * Shape::threads + thread_index();
        const int block = first_feature / 16 + chunk / Units::tile_chunks;
        const int unit = units_a_tile * tile + chunk / Units::unit_chunks % units_a_tile;
        const bool present = block < blocks && unit < units;
        const int64_t offset =
            present ? ((int64_t(block) * units + unit) * Units::unit_chunks + chunk % Units::unit_chunks) * 16
                    : 0;
        copy_async(first_stage + SharedAddress(stage + chunk * 16), source + offset, present ? 16 : 0);
      }
      if (thread_index() < Shape::metadata_bytes / 16) {
        const int chunk = thread_index();
        const int block = first_feature / 16 + chunk / Shape::metadata_chunks,
                  span = 2 * tile + chunk / 8 % 2;
        const bool present = block < blocks && span < spans;
        const int64_t offset = present ? (int64_t(block) * spans + span) * 32 + chunk % 8 * 4 : 0;
        // Zeros are no legal metadata, but then nothing past them is computed: the products are skipped.
        copy_async(first_stage + SharedAddress(stage + Shape::weight_bytes + chunk * 16), w.metadata + offset,
                   present ? 16 : 0);
      }
      copy_operand<T, Shape, Shape::tokens, vectors>(
          shared + stage + Shape::weight_bytes + Shape::metadata_bytes,
          first_stage + SharedAddress(stage + Shape::weight_bytes + Shape::metadata_bytes), p.input,
          p.input_stride, first_token, p.m, tile * Shape::depth, w.k);
    }
    commit_copies();
  };

  const int warp_block = warp_index() / Shape::warps_t * f_tiles;
  const int warp_token = warp_index() % Shape::warps_t * Shape::warp_tokens;
  const int g = lane_index() / 4, q = lane_index() % 4;

  // Groups of codes are counted in steps of 16 stored columns; the constants of the next are on their way
  // while one is summed.
  const int group_steps = coded ? (packed.group + 15) / 16 : 1;
  const int last_group = coded && w.k > 0 ? (packed.k + packed.group - 1) / packed.group - 1 : 0;
  int group = first_tile * Shape::steps / group_steps;
  int steps_left = group_steps - first_tile * Shape::steps % group_steps;
  [[maybe_unused]] Constants now[f_tiles] = {}, next[f_tiles] = {};
  auto load_constants = [&](Constants(&constants)[f_tiles], int wanted) {
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      const int block = first_feature / 16 + warp_block + f;
      // Past the end of n and k any constants will do: nothing is written, or zeros are multiplied.
      constants[f] = Constants::load(packed, blocks, block < blocks ? block : blocks - 1,
                                     wanted < last_group ? wanted : last_group, g);
    }
  };

  // What the tensor cores sum of a group (of values: of the part), the part's sum of scaled groups, and the
  // sum of the parts before.
  float products[f_tiles][t_tiles][4] = {};
  [[maybe_unused]] float sum[f_tiles][t_tiles][4] = {}, total[f_tiles][t_tiles][4];
  auto fold_group = [&] {
    GPU_UNROLL
    for (int f = 0; f < f_tiles; ++f) {
      GPU_UNROLL
      for (int t = 0; t < t_tiles; ++t) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) {
          if constexpr (coded) {
            sum[f][t][e] = fma_rn(now[f].scale[e / 2], products[f][t][e], sum[f][t][e]);
          } else {
            sum[f][t][e] = products[f][t][e];
          }
          products[f][t][e] = 0;
        }
      }
    }
  };

  GPU_UNROLL
  for (int stage = 0; stage < Shape::stages - 1; ++stage) copy_tile(first_tile + stage);
  if (coded && w.k > 0) {
    load_constants(now, group);
    load_constants(next, group + 1);
  }
  int part_end = c.part_tiles;
  for (int tile = first_tile; tile < tiles_end; ++tile) {
    if constexpr (Shape::all_parts) {
      if (tile == part_end) {
        if (!coded || steps_left != group_steps) fold_group();
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

    const int stage = tile % Shape::stages * Shape::stage_bytes;
    const SharedAddress tokens =
        first_stage + SharedAddress(stage + Shape::weight_bytes + Shape::metadata_bytes);
    [[maybe_unused]] typename Reader::Words codes[f_tiles];
    if constexpr (coded) {
      GPU_UNROLL
      for (int f = 0; f < f_tiles; ++f) {
        codes[f] = Reader::load(shared + stage + (warp_block + f) * Units::tile_chunks * 16, lane_index());
      }
    }
    GPU_UNROLL
    for (int span = 0; span < 2; ++span) {
      // A warp whose features are all past the end has no metadata.
      if (2 * tile + span >= spans || first_feature / 16 + warp_block >= blocks) break;
      uint32_t metadata[f_tiles];
      GPU_UNROLL
      for (int f = 0; f < f_tiles; ++f) {
        const int word = ((warp_block + f) * 2 + span) * 32 + lane_index();
        metadata[f] = reinterpret_cast<const uint32_t*>(shared + stage + Shape::weight_bytes)[word];
      }
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int step = 2 * span + half;
        uint32_t b[t_tiles][4];
        GPU_UNROLL
        for (int t = 0; t < t_tiles; ++t) {
          // Four times eight k of eight tokens.
          load_matrices(b[t], tokens + Rows::offset(warp_token + 8 * t + lane_index() % 8,
                                                    4 * step + lane_index() / 8));
        }
        GPU_UNROLL
        for (int f = 0; f < f_tiles; ++f) {
          if (first_feature / 16 + warp_block + f >= blocks) break;
          uint32_t a[4];
          if constexpr (coded) {
            Reader::fragment(a, codes[f], step, now[f].zero);
          } else {
            const int chunk = ((warp_block + f) * Shape::steps + step) * 32 + lane_index();
            const Packed values = *reinterpret_cast<const Packed*>(shared + stage + chunk * 16);
            GPU_UNROLL
            for (int i = 0; i < 4; ++i) a[i] = values.word[i];
          }
          GPU_UNROLL
          for (int t = 0; t < t_tiles; ++t) {
            if (half == 0) {
              mma_sparse_m16n8k32<T, 0>(products[f][t], a, b[t], metadata[f]);
            } else {
              mma_sparse_m16n8k32<T, 1>(products[f][t], a, b[t], metadata[f]);
            }
          }
        }
        if constexpr (coded) {
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
  }
  wait_copies<0>();
  if (w.k > 0 && (!coded || steps_left != group_steps)) fold_group();

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

template <class T, class Shape>
Status launch_sparse24(Stream stream, const char* name, const Sparse24Call& c) {
  const int features = (c.gemm.weight.n + Shape::features - 1) / Shape::features;
  const int tokens = (c.gemm.m + Shape::tokens - 1) / Shape::tokens;
  LaunchShape shape;
  shape.grid = {features, tokens, 1};
  if (!Shape::all_parts) {
    const int parts = c.partials ? (c.tiles + c.part_tiles - 1) / c.part_tiles : 1;
    shape.grid = {features, parts, tokens};
  }
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  if (c.vectors) return launch(stream, name, shape, sparse24_kernel<T, Shape, true>, c);
  if constexpr (Shape::tokens == 64) {
    return launch(stream, name, shape, sparse24_kernel<T, Shape, false>, c);
  } else {
    return launch_sparse24<T, typename Sparse24Shapes<Shape::kind>::Tokens64>(stream, "sparse24<tokens64>",
                                                                              c);
  }
}

/// int8 goes without the forms between: those for few tokens and for many give the same bits.
template <class T, Sparse24Kind kind>
Status run_sparse24(Stream stream, Sparse24Form form, const Sparse24Call& c) {
  using Shapes = Sparse24Shapes<kind>;
  switch (form) {
    case Sparse24Form::tokens8:
      return launch_sparse24<T, typename Shapes::Tokens8>(stream, "sparse24<tokens8>", c);
    case Sparse24Form::tokens16:
      if constexpr (kind != Sparse24Kind::int8)
        return launch_sparse24<T, typename Shapes::Tokens16>(stream, "sparse24<tokens16>", c);
      [[fallthrough]];
    case Sparse24Form::tokens32:
      if constexpr (kind != Sparse24Kind::int8)
        return launch_sparse24<T, typename Shapes::Tokens32>(stream, "sparse24<tokens32>", c);
      [[fallthrough]];
    case Sparse24Form::tokens64:
      return launch_sparse24<T, typename Shapes::Tokens64>(stream, "sparse24<tokens64>", c);
    case Sparse24Form::tile:
      return launch_sparse24<T, typename Shapes::Whole>(stream, "sparse24<tile>", c);
  }
  return invalid_arguments;
}

// One source file each, so that they compile side by side.
Status sparse24_bf16(Stream stream, Sparse24Form form, const Sparse24Call& c);
Status sparse24_f16(Stream stream, Sparse24Form form, const Sparse24Call& c);
Status sparse24_int4_bf16(Stream stream, Sparse24Form form, const Sparse24Call& c);
Status sparse24_int4_f16(Stream stream, Sparse24Form form, const Sparse24Call& c);
Status sparse24_int8_bf16(Stream stream, Sparse24Form form, const Sparse24Call& c);
Status sparse24_int8_f16(Stream stream, Sparse24Form form, const Sparse24Call& c);

/// `gemm_sparse24` in a form of one's choice, for tests and measurements.
Status gemm_sparse24_as(Stream stream, Sparse24Form form, const Sparse24Arguments& arguments,
                        const GemmWorkspace& workspace);

}  // namespace gpu

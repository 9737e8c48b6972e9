// The product with 2:4 sparse weights on TMA and wgmma.sp (sm_90a).
//
// A block computes 128 features of 128 tokens. Weights are the left operand, whose fragments and metadata lie
// in memory as a lane wants them (sparse/sparse24.h). One warpgroup brings 128 of k at a time, tokens as two
// boxes, weights and metadata as they are; two warpgroups bring their own 64 features' fragments into
// registers while the products of the tile before run:
//
//   producer      k 0 · k 1 · k 2 ···· (a stage is empty) k 3 ····
//   consumers           weights 0 ── weights 1 ──── weights 2 ── group ── weights 3 ...
//   tensor cores               products 0 ─── products 1 ── products 2 ──
//
// k is summed in order, of codes group by group, so a row's bits depend on its input and the weight only.
#pragma once

#include "device/wgmma_sparse.h"
#include "sparse/sparse24_kernel.h"

namespace gpu {

/// What the kernels take.
struct Sparse24Sm90Call {
  TensorMap input;
  Sparse24Weight weight;
  OutputShape output;
  int m;
  /// Tiles of 128 k, and blocks of 16 features.
  int tiles, blocks;
};

/// ```
/// shared   stage 0: tokens 2 x 128 x 64, swizzled | weights [8 blocks][tile_chunks] | metadata [8
/// blocks][256
///                   bytes]    stage 1 ...    mbarriers
/// ```
template <Sparse24Kind kind>
struct Sparse24Sm90Shape {
  using Units = Sparse24Units<kind>;
  static constexpr int tokens = 128;
  static constexpr int consumers = 2;
  static constexpr int features = consumers * 64;
  static constexpr int feature_blocks = features / 16;
  static constexpr int depth = 128;
  static constexpr int steps = depth / 32;
  static constexpr int stages = 4;
  static constexpr int threads = (1 + consumers) * 128;
  static constexpr int box_bytes = tokens * 128;
  static constexpr int weight_bytes = Units::tile_chunks * 16;
  static constexpr int metadata_bytes = 2 * 128;
  static constexpr int weights = 2 * box_bytes;
  static constexpr int metadata = weights + feature_blocks * weight_bytes;
  /// Rows of tokens start at multiples of 1024 bytes, as the swizzle wants.
  static constexpr int stage_bytes = (metadata + feature_blocks * metadata_bytes + 1023) / 1024 * 1024;
  static constexpr int full = stages * stage_bytes;
  static constexpr int empty = full + stages * mbarrier_bytes;
  static constexpr int alignment = 1024;
  static constexpr int shared_bytes = alignment + empty + stages * mbarrier_bytes;
  static_assert(shared_bytes <= 227 * 1024, "what sm_90 offers a block");
};

/// One thread: fills stages as they become empty.
template <Sparse24Kind kind>
GPU_DEVICE void bring_sparse24(const Sparse24Sm90Call& p, SharedAddress base) {
  using Shape = Sparse24Sm90Shape<kind>;
  const int first_block = block_x() * Shape::feature_blocks;
  const int left = p.blocks - first_block;
  const int present = left < Shape::feature_blocks ? left : Shape::feature_blocks;
  const auto* weights =
      static_cast<const unsigned char*>(Shape::Units::coded ? p.weight.codes.codes : p.weight.values);
  const auto* metadata = reinterpret_cast<const unsigned char*>(p.weight.metadata);
  RingPosition<Shape::stages> ring;
  for (int tile = 0; tile < p.tiles; ++tile, ring.advance()) {
    const SharedAddress stage = base + ring.stage * Shape::stage_bytes;
    const SharedAddress full = base + Shape::full + ring.stage * mbarrier_bytes;
    wait_mbarrier(base + Shape::empty + ring.stage * mbarrier_bytes, ring.parity ^ 1);
    arrive_mbarrier_expecting(full,
                              2 * Shape::box_bytes + present * (Shape::weight_bytes + Shape::metadata_bytes));
    for (int box = 0; box < 2; ++box) {
      load_box(stage + box * Shape::box_bytes, p.input, full, tile * Shape::depth + 64 * box,
               block_y() * Shape::tokens);
    }
    for (int block = 0; block < present; ++block) {
      const int64_t at = int64_t(first_block + block) * p.tiles + tile;
      load_bytes(stage + SharedAddress(Shape::weights + block * Shape::weight_bytes),
                 weights + at * Shape::weight_bytes, Shape::weight_bytes, full);
      load_bytes(stage + SharedAddress(Shape::metadata + block * Shape::metadata_bytes),
                 metadata + at * Shape::metadata_bytes, Shape::metadata_bytes, full);
    }
  }
}

/// A warp's 16 features of all tokens of the block.
template <class T, Sparse24Kind kind>
class Sparse24Sm90Consumer {
 public:
  using Shape = Sparse24Sm90Shape<kind>;
  using Units = typename Shape::Units;
  using Reader = CodeReader<T, Units::code>;
  static constexpr int tiles = Shape::tokens / 8;

  GPU_DEVICE Sparse24Sm90Consumer(const Sparse24Sm90Call& p, const unsigned char* array, SharedAddress base)
      : p_(p),
        array_(array),
        base_(base),
        place_((thread_index() - 128) / warp_size),
        block_(block_x() * Shape::feature_blocks + place_) {}

  GPU_DEVICE void run() {
    // Two sets, so that one is read while the other is multiplied.
    Fragments even, odd;
    load_constants(0);
    for (int tile = 0; tile < p_.tiles; tile += 2) {
      multiply(tile, even);
      if (tile + 1 < p_.tiles) multiply(tile + 1, odd);
    }
    if constexpr (!Units::coded) {
      wait_wgmma<0>(products_);
      hand_back();
    }
    write();
  }

 private:
  struct Fragments {
    uint32_t a[Shape::steps][4];
    uint32_t metadata[2];
  };

  /// Of the group that begins; blocks past the last feature take its constants, and are left out at the end.
  GPU_DEVICE void load_constants(int group) {
    if constexpr (Units::coded) {
      const int block = block_ < p_.blocks ? block_ : p_.blocks - 1;
      constants_ =
          GroupConstants<T, Units::code>::load(p_.weight.codes, p_.blocks, block, group, lane_index() / 4);
    } else {
      (void)group;
    }
  }

  /// From a stage that is full. Warps without features multiply zeros, whose metadata is legal too.
  GPU_DEVICE void load(Fragments& fragments) {
    const unsigned char* stage = array_ + ring_.stage * Shape::stage_bytes;
    const unsigned char* weights = stage + Shape::weights + place_ * Shape::weight_bytes;
    const auto* metadata =
        reinterpret_cast<const uint32_t*>(stage + Shape::metadata + place_ * Shape::metadata_bytes);
    const bool present = block_ < p_.blocks;
    GPU_UNROLL
    for (int span = 0; span < 2; ++span) {
      fragments.metadata[span] = present ? metadata[span * warp_size + lane_index()] : 0x44444444u;
    }
    if constexpr (Units::coded) {
      typename Reader::Words words = {};
      if (present) words = Reader::load(weights, lane_index());
      GPU_UNROLL
      for (int s = 0; s < Shape::steps; ++s) Reader::fragment(fragments.a[s], words, s, constants_.zero);
    } else {
      GPU_UNROLL
      for (int s = 0; s < Shape::steps; ++s) {
        Packed values = {};
        if (present) values = reinterpret_cast<const Packed*>(weights)[s * warp_size + lane_index()];
        GPU_UNROLL
        for (int i = 0; i < 4; ++i) fragments.a[s][i] = values.word[i];
      }
    }
  }

  GPU_DEVICE void multiply(int tile, Fragments& fragments) {
    const SharedAddress barriers = base_ + SharedAddress(ring_.stage * mbarrier_bytes);
    const SharedAddress tokens = base_ + SharedAddress(ring_.stage * Shape::stage_bytes);
    wait_mbarrier(barriers + Shape::full, ring_.parity);
    load(fragments);
    pin_registers(products_);
    fence_wgmma();
    GPU_UNROLL
    for (int span = 0; span < 2; ++span) {
      const MatrixDescriptor b = k_major(tokens + span * Shape::box_bytes, Swizzle::bytes_128);
      wgmma_sparse<T, 0>(products_, fragments.a[2 * span], fragments.metadata[span], b, !starts_ || span > 0);
      wgmma_sparse<T, 1>(products_, fragments.a[2 * span + 1], fragments.metadata[span], b.advanced(64),
                         true);
    }
    commit_wgmma();
    starts_ = false;
    // The tile before this one has been multiplied.
    wait_wgmma<1>(products_);
    hand_back();
    last_empty_ = barriers + Shape::empty;
    ring_.advance();
    if constexpr (Units::coded) {
      // A tile is 64 stored columns.
      if ((tile + 1) * 64 % p_.weight.codes.group == 0 || tile + 1 == p_.tiles) fold(tile);
    }
  }

  /// The end of a group: its sum is scaled, and the next one begins.
  GPU_DEVICE void fold(int tile) {
    wait_wgmma<0>(products_);
    hand_back();
    GPU_UNROLL
    for (int j = 0; j < tiles; ++j) {
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) sum_[j][i] = fma_rn(constants_.scale[i / 2], products_[j][i], sum_[j][i]);
    }
    starts_ = true;
    if (tile + 1 < p_.tiles) load_constants((tile + 1) * 64 / p_.weight.codes.group);
  }

  /// Each warp for itself: it alone knows that its lanes have read their weights.
  GPU_DEVICE void hand_back() {
    sync_warp();
    if (last_empty_ != 0 && lane_index() == 0) arrive_mbarrier(last_empty_);
    last_empty_ = 0;
  }

  GPU_DEVICE void write() {
    const int g = lane_index() / 4, q = lane_index() % 4;
    GPU_UNROLL
    for (int j = 0; j < tiles; ++j) {
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float value[2] = {Units::coded ? sum_[j][2 * half] : products_[j][2 * half],
                                Units::coded ? sum_[j][2 * half + 1] : products_[j][2 * half + 1]};
        const int feature = 16 * block_ + 8 * half + g;
        const int token = block_y() * Shape::tokens + 8 * j + 2 * q;
        // Lanes of neighbouring features exchange a token each, so that each has two features of one.
        const bool odd = g % 2 == 1;
        const float received = shuffle_xor(odd ? value[0] : value[1], 4);
        const int row = odd ? token + 1 : token;
        if (row >= p_.m) continue;
        write_pair<T>(p_.output, row, odd ? feature - 1 : feature, odd ? received : value[0],
                      odd ? value[1] : received);
      }
    }
  }

  const Sparse24Sm90Call& p_;
  const unsigned char* array_;
  SharedAddress base_;
  /// The warp's block of features, in the stage and in the weight.
  int place_, block_;
  [[maybe_unused]] GroupConstants<T, Units::code> constants_ = {};
  RingPosition<Shape::stages> ring_;
  SharedAddress last_empty_ = 0;
  bool starts_ = true;
  float products_[tiles][4] = {};
  [[maybe_unused]] float sum_[tiles][4] = {};
};

template <class T, Sparse24Kind kind>
GPU_KERNEL(384, 1)
sparse24_sm90_kernel(GPU_PARAMETER Sparse24Sm90Call p) {
  using Shape = Sparse24Sm90Shape<kind>;
  GPU_SHARED(shared);
  const SharedAddress start = shared_address(shared);
  const SharedAddress base = (start + Shape::alignment - 1) / Shape::alignment * Shape::alignment;
  if (thread_index() == 0) {
    prefetch_tensor_map(p.input);
    for (int stage = 0; stage < Shape::stages; ++stage) {
      init_mbarrier(base + Shape::full + stage * mbarrier_bytes, 1);
      init_mbarrier(base + Shape::empty + stage * mbarrier_bytes, Shape::consumers * 4);
    }
    publish_mbarriers();
  }
  sync_block();
  if (thread_index() < 128) {
    give_registers<24>();
    if (warp_index() == 0 && elect_one()) bring_sparse24<kind>(p, base);
  } else {
    take_registers<240>();
    Sparse24Sm90Consumer<T, kind>(p, shared + (base - start), base).run();
  }
}

template <class T, Sparse24Kind kind>
Status launch_sparse24_sm90(Stream stream, const char* name, const Sparse24Sm90Call& call) {
  using Shape = Sparse24Sm90Shape<kind>;
  LaunchShape shape;
  shape.grid = {(call.weight.n + Shape::features - 1) / Shape::features,
                (call.m + Shape::tokens - 1) / Shape::tokens, 1};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, name, shape, sparse24_sm90_kernel<T, kind>, call);
}

template <class T>
Status run_sparse24_sm90(Stream stream, const Sparse24Sm90Call& call) {
  if (call.weight.values) {
    return launch_sparse24_sm90<T, Sparse24Kind::values>(stream, "sparse24_sm90", call);
  }
  return call.weight.codes.code == WeightCode::int8
             ? launch_sparse24_sm90<T, Sparse24Kind::int8>(stream, "sparse24_sm90<int8>", call)
             : launch_sparse24_sm90<T, Sparse24Kind::int4>(stream, "sparse24_sm90<int4>", call);
}

Status sparse24_sm90_bf16(Stream stream, const Sparse24Sm90Call& call);
Status sparse24_sm90_f16(Stream stream, const Sparse24Sm90Call& call);

}  // namespace gpu

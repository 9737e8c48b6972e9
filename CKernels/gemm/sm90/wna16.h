// The product with weights of few bits on TMA and wgmma (sm_90a).
//
// A block computes 128 features of 128 tokens. Only the left operand of wgmma may come from registers, so
// weights are the left one, as in the general form (gemm/wna16_kernel.h). One warpgroup brings 64 of k at a
// time, tokens as a box and codes as they are; two warpgroups make fragments of codes, each its own 64
// features, while the products of the tile before run:
//
//   producer      k 0 · k 1 · k 2 ···· (a stage is empty) k 3 ····
//   consumers           codes 0 ── codes 1 ──── codes 2 ── group ── codes 3 ...
//   tensor cores               products 0 ─── products 1 ── products 2 ──
//
// Codes minus zeros are multiplied exactly; at the end of a group its sum is scaled, in float. Groups are
// summed in order, so a row's bits depend on its input and the weight only.
#pragma once

#include "gemm/wna16_kernel.h"

namespace gpu {

/// What the kernels take.
struct WNA16Sm90Call {
  TensorMap input;
  PackedWeight weight;
  OutputShape output;
  int m;
  /// Spans of 64 k, and blocks of 16 features.
  int spans, blocks;
};

/// ```
/// shared   stage 0: tokens 128 x 64, swizzled | codes [8 blocks of features][span]    stage 1 ... mbarriers
/// ```
template <WeightCode code>
struct WNA16Sm90Shape {
  static constexpr int tokens = 128;
  static constexpr int consumers = 2;
  static constexpr int features = consumers * 64;
  static constexpr int feature_blocks = features / 16;
  static constexpr int stages = 6;
  static constexpr int threads = (1 + consumers) * 128;
  static constexpr int token_bytes = tokens * 128;
  /// Rows of tokens start at multiples of 1024 bytes, as the swizzle wants.
  static constexpr int stage_bytes =
      (token_bytes + feature_blocks * code_bits(code) * 128 + 1023) / 1024 * 1024;
  static constexpr int full = stages * stage_bytes;
  static constexpr int empty = full + stages * mbarrier_bytes;
  static constexpr int alignment = 1024;
  static constexpr int shared_bytes = alignment + empty + stages * mbarrier_bytes;
  static_assert(shared_bytes <= 227 * 1024, "what sm_90 offers a block");
};

/// One thread: fills stages as they become empty.
template <class Shape, WeightCode code>
GPU_DEVICE void bring_codes(const WNA16Sm90Call& p, SharedAddress base) {
  const int first_block = block_x() * Shape::feature_blocks;
  const int left = p.blocks - first_block;
  const int present = left < Shape::feature_blocks ? left : Shape::feature_blocks;
  const unsigned char* codes = static_cast<const unsigned char*>(p.weight.codes);
  RingPosition<Shape::stages> ring;
  for (int span = 0; span < p.spans; ++span, ring.advance()) {
    const SharedAddress stage = base + ring.stage * Shape::stage_bytes;
    const SharedAddress full = base + Shape::full + ring.stage * mbarrier_bytes;
    wait_mbarrier(base + Shape::empty + ring.stage * mbarrier_bytes, ring.parity ^ 1);
    arrive_mbarrier_expecting(full, Shape::token_bytes + present * span_bytes(code));
    load_box(stage, p.input, full, span * 64, block_y() * Shape::tokens);
    for (int block = 0; block < present; ++block) {
      const int64_t at = (int64_t(first_block + block) * p.spans + span) * span_bytes(code);
      load_bytes(stage + SharedAddress(Shape::token_bytes + block * span_bytes(code)), codes + at,
                 span_bytes(code), full);
    }
  }
}

/// A warp's 16 features of all tokens of the block.
template <class T, WeightCode code>
class WNA16Sm90Consumer {
 public:
  using Shape = WNA16Sm90Shape<code>;
  using Reader = CodeReader<T, code>;
  static constexpr int tiles = Shape::tokens / 8;

  GPU_DEVICE WNA16Sm90Consumer(const WNA16Sm90Call& p, const unsigned char* array, SharedAddress base)
      : p_(p),
        array_(array),
        base_(base),
        place_((thread_index() - 128) / warp_size),
        block_(block_x() * Shape::feature_blocks + place_) {}

  GPU_DEVICE void run() {
    // Two sets, so that one is made while the other is multiplied.
    uint32_t even[4][4], odd[4][4];
    load_constants(0);
    for (int span = 0; span < p_.spans; span += 2) {
      multiply(span, even);
      if (span + 1 < p_.spans) multiply(span + 1, odd);
    }
    write();
  }

 private:
  /// Of the group that begins; blocks past the last feature take its constants, and are left out at the end.
  GPU_DEVICE void load_constants(int group) {
    const int block = block_ < p_.blocks ? block_ : p_.blocks - 1;
    constants_ = GroupConstants<T, code>::load(p_.weight, p_.blocks, block, group, lane_index() / 4);
  }

  GPU_DEVICE void multiply(int span, uint32_t (&fragments)[4][4]) {
    const SharedAddress barriers = base_ + SharedAddress(ring_.stage * mbarrier_bytes);
    const SharedAddress tokens = base_ + SharedAddress(ring_.stage * Shape::stage_bytes);
    wait_mbarrier(barriers + Shape::full, ring_.parity);
    typename Reader::Words words = {};
    if (block_ < p_.blocks) {
      const int at = ring_.stage * Shape::stage_bytes + Shape::token_bytes + place_ * span_bytes(code);
      words = Reader::load(array_ + at, lane_index());
    }
    GPU_UNROLL
    for (int s = 0; s < 4; ++s) Reader::fragment(fragments[s], words, s, constants_.zero);

    const MatrixDescriptor b = k_major(tokens, Swizzle::bytes_128);
    pin_registers(products_);
    fence_wgmma();
    GPU_UNROLL
    for (int s = 0; s < 4; ++s)
      wgmma<T, false>(products_, fragments[s], b.advanced(32 * s), !starts_ || s > 0);
    commit_wgmma();
    starts_ = false;
    // The span before this one has been multiplied.
    wait_wgmma<1>(products_);
    hand_back();
    last_empty_ = barriers + Shape::empty;
    ring_.advance();
    if ((span + 1) * 64 % p_.weight.group == 0 || span + 1 == p_.spans) fold(span);
  }

  /// The end of a group: its sum is scaled, and the next one begins.
  GPU_DEVICE void fold(int span) {
    wait_wgmma<0>(products_);
    hand_back();
    GPU_UNROLL
    for (int j = 0; j < tiles; ++j) {
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) sum_[j][i] = fma_rn(constants_.scale[i / 2], products_[j][i], sum_[j][i]);
    }
    starts_ = true;
    if (span + 1 < p_.spans) load_constants((span + 1) * 64 / p_.weight.group);
  }

  /// Each warp for itself: it alone knows that its lanes have read their codes.
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
        const float value[2] = {sum_[j][2 * half], sum_[j][2 * half + 1]};
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

  const WNA16Sm90Call& p_;
  const unsigned char* array_;
  SharedAddress base_;
  /// The warp's block of features, in the stage and in the weight.
  int place_, block_;
  GroupConstants<T, code> constants_ = {};
  RingPosition<Shape::stages> ring_;
  SharedAddress last_empty_ = 0;
  bool starts_ = true;
  float products_[tiles][4] = {};
  float sum_[tiles][4] = {};
};

template <class T, WeightCode code>
GPU_KERNEL(384, 1)
wna16_sm90_kernel(GPU_PARAMETER WNA16Sm90Call p) {
  using Shape = WNA16Sm90Shape<code>;
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
    if (warp_index() == 0 && elect_one()) bring_codes<Shape, code>(p, base);
  } else {
    take_registers<240>();
    WNA16Sm90Consumer<T, code>(p, shared + (base - start), base).run();
  }
}

template <class T, WeightCode code>
Status launch_wna16_sm90(Stream stream, const WNA16Sm90Call& call) {
  using Shape = WNA16Sm90Shape<code>;
  LaunchShape shape;
  shape.grid = {(call.weight.n + Shape::features - 1) / Shape::features,
                (call.m + Shape::tokens - 1) / Shape::tokens, 1};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, "wna16_sm90", shape, wna16_sm90_kernel<T, code>, call);
}

Status wna16_sm90_bf16(Stream stream, const WNA16Sm90Call& call);
Status wna16_sm90_f16(Stream stream, const WNA16Sm90Call& call);

}  // namespace gpu

// The matrix product with TMA and wgmma (sm_90a), of elements of 16 bits; of codes of 8 bits it is the same
// but for how they are multiplied and scaled (gemm/sm90/w8a8.h).
//
// A block computes tiles of 128 rows, one after the other, until none is left. One warpgroup brings operands,
// 64 of k at a time, into a ring of stages; two warpgroups multiply, each its own 64 rows of the tile:
//
//   producer     k 0 · k 1 · k 2 · k 3 ···· (a stage is empty) k 4 ···· next tile's k 0 ···
//   consumers          k 0 ─ k 1 ─ k 2 ─ k 3 ─ ... ─ output ─ k 0 ─ ...
//
// The producer runs ahead into the next tile while the consumers write the last one out. Tails come from TMA:
// what lies outside of a matrix arrives as zeros, and is left out of the output.
//
// k is summed in order, whatever the tile: every form gives the same bits.
#pragma once

#include "device/device.h"
#include "gemm/arguments.h"
#include "gemm/output.h"

namespace gpu {

enum class GemmSm90Form { columns128, columns256 };

/// What the kernels take.
struct GemmSm90Call {
  TensorMap input, weight;
  /// Boxes of 64 x 64; not used when `stores_boxes` is false.
  TensorMap boxes;
  OutputShape output;
  int m;
  /// Tiles of the output, and of k.
  int row_tiles, column_tiles, depth_tiles;
  /// The output is written by TMA; else thread by thread.
  bool stores_boxes;
};

/// A matrix of 16-bit elements, in boxes of 64 columns and `box_rows` rows.
inline TensorMapDescription gemm_sm90_matrix(const void* data, int rows, int columns, int64_t stride,
                                             int box_rows) {
  return {data, 2, 2, {columns, rows}, {0, stride * 2}, {64, box_rows}, Swizzle::bytes_128};
}

/// ```
/// shared   stage 0: input 128 x 64 | weight columns x 64    stage 1 ...    panels of the output    mbarriers
/// ```
/// Rows are 128 bytes, swizzled.
template <int columns_, int stages_>
struct GemmSm90Shape {
  static constexpr int rows = 128;
  static constexpr int columns = columns_;
  static constexpr int depth = 64;
  static constexpr int stages = stages_;
  static constexpr int row_bytes = depth * 2;
  static constexpr int consumers = 2;
  static constexpr int consumer_rows = rows / consumers;
  static constexpr int threads = (1 + consumers) * 128;

  static constexpr int input_bytes = rows * row_bytes;
  static constexpr int stage_bytes = input_bytes + columns * row_bytes;
  /// 64 rows and 64 columns of the output; each consumer has two.
  static constexpr int panel_bytes = consumer_rows * row_bytes;
  static constexpr int panels = stages * stage_bytes;
  static constexpr int full = panels + consumers * 2 * panel_bytes;
  static constexpr int empty = full + stages * mbarrier_bytes;
  static constexpr int alignment = 1024;
  static constexpr int shared_bytes = alignment + empty + stages * mbarrier_bytes;
  static_assert(shared_bytes <= 227 * 1024, "what sm_90 offers a block");
};

using GemmSm90Columns128 = GemmSm90Shape<128, 6>;
using GemmSm90Columns256 = GemmSm90Shape<256, 4>;

/// How elements of 16 bits are multiplied.
template <class T>
struct DenseProduct {
  using Output = T;
  using Sum = float;
  using Call = GemmSm90Call;
  /// Sums are not taken to others on the way.
  static constexpr bool folds = false;

  template <int tiles>
  GPU_DEVICE static void start(Sum (&sum)[tiles][4], MatrixDescriptor a, MatrixDescriptor b,
                               bool accumulate) {
    wgmma<T, false>(sum, a, b, accumulate);
  }
  /// What a thread's sums, of the rows from `row` on, are multiplied by in the end: nothing.
  template <int tiles>
  GPU_DEVICE static void finish(const Call&, int, Sum (&)[tiles][4]) {}
};

/// The tile that is the `index`-th to be computed. Eight rows of tiles are walked together, column by column,
/// so that blocks that run at the same time share operands in L2.
struct GemmSm90Tile {
  int row, column;

  GPU_DEVICE static GemmSm90Tile at(int index, int row_tiles, int column_tiles) {
    constexpr int together = 8;
    const int band = index / (together * column_tiles), rest = index % (together * column_tiles);
    const int rows = row_tiles - band * together < together ? row_tiles - band * together : together;
    return {band * together + rest % rows, rest / rows};
  }
};

/// One thread: fills stages as they become empty.
template <class Shape>
GPU_DEVICE void bring_operands(const GemmSm90Call& p, SharedAddress base) {
  RingPosition<Shape::stages> ring;
  for (int index = block_x(); index < p.row_tiles * p.column_tiles; index += grid_x()) {
    const GemmSm90Tile tile = GemmSm90Tile::at(index, p.row_tiles, p.column_tiles);
    for (int k = 0; k < p.depth_tiles; ++k, ring.advance()) {
      const SharedAddress stage = base + ring.stage * Shape::stage_bytes;
      const SharedAddress full = base + Shape::full + ring.stage * mbarrier_bytes;
      wait_mbarrier(base + Shape::empty + ring.stage * mbarrier_bytes, ring.parity ^ 1);
      arrive_mbarrier_expecting(full, Shape::stage_bytes);
      load_box(stage, p.input, full, k * Shape::depth, tile.row * Shape::rows);
      load_box(stage + Shape::input_bytes, p.weight, full, k * Shape::depth, tile.column * Shape::columns);
    }
  }
}

/// What has been summed of a tile: products, or what they were folded into.
template <bool folds, class Products, class Folded>
GPU_DEVICE auto& sums_of([[maybe_unused]] Products& products, [[maybe_unused]] Folded& folded) {
  if constexpr (folds) {
    return folded;
  } else {
    return products;
  }
}

/// The barrier of one consumer warpgroup.
GPU_DEVICE void sync_consumer(int consumer) {
  if (consumer == 0) {
    sync_named<1>(128);
  } else {
    sync_named<2>(128);
  }
}

/// A consumer's part of a tile through its two panels and TMA, 64 columns at a time.
template <class T, class Shape, int tiles>
GPU_DEVICE void store_panels(const GemmSm90Call& p, unsigned char* array, int consumer, int first_row,
                             int first_column, float (&sum)[tiles][4]) {
  const int thread = thread_index() % 128, warp = thread / warp_size;
  const int g = lane_index() / 4, q = lane_index() % 4;
  GPU_UNROLL
  for (int panel = 0; panel < tiles / 8; ++panel) {
    unsigned char* place = array + Shape::panels + (consumer * 2 + panel % 2) * Shape::panel_bytes;
    // The store before last has read this panel.
    if (thread == 0) wait_stores_read<1>();
    sync_consumer(consumer);
    GPU_UNROLL
    for (int j = 0; j < 8; ++j) {
      const int column = first_column + 64 * panel + 8 * j + 2 * q;
      float bias[2] = {};
      if (p.output.bias && column < p.output.columns) bias[0] = p.output.bias[column];
      if (p.output.bias && column + 1 < p.output.columns) bias[1] = p.output.bias[column + 1];
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = 16 * warp + g + 8 * half;
        *reinterpret_cast<uint32_t*>(place + row * Shape::row_bytes + ((j ^ row % 8) * 16 + 4 * q)) =
            pack<T>(sum[8 * panel + j][2 * half] + bias[0], sum[8 * panel + j][2 * half + 1] + bias[1]);
      }
    }
    fence_async_proxy();
    sync_consumer(consumer);
    if (thread == 0) {
      store_box(p.boxes, shared_address(place), first_column + 64 * panel, first_row);
      commit_stores();
    }
  }
}

template <class Product, class Shape>
GPU_DEVICE void multiply_tiles(const typename Product::Call& p, unsigned char* array, SharedAddress base,
                               int consumer) {
  using T = typename Product::Output;
  constexpr int tiles = Shape::columns / 8;
  const int thread = thread_index() % 128;
  RingPosition<Shape::stages> ring;
  for (int index = block_x(); index < p.row_tiles * p.column_tiles; index += grid_x()) {
    const GemmSm90Tile tile = GemmSm90Tile::at(index, p.row_tiles, p.column_tiles);
    const int first_row = tile.row * Shape::rows + consumer * Shape::consumer_rows;
    const int first_column = tile.column * Shape::columns;
    const int row = first_row + 16 * (thread / warp_size) + lane_index() / 4;
    typename Product::Sum products[tiles][4] = {};
    [[maybe_unused]] float folded[Product::folds ? tiles : 1][4] = {};
    [[maybe_unused]] int fold = 0, fold_start = 0;
    SharedAddress last_empty = 0;
    for (int k = 0; k < p.depth_tiles; ++k, ring.advance()) {
      const SharedAddress stage = base + ring.stage * Shape::stage_bytes;
      const MatrixDescriptor input =
          k_major(stage + consumer * Shape::consumer_rows * Shape::row_bytes, Swizzle::bytes_128);
      const MatrixDescriptor weight = k_major(stage + Shape::input_bytes, Swizzle::bytes_128);
      wait_mbarrier(base + Shape::full + ring.stage * mbarrier_bytes, ring.parity);
      pin_registers(products);
      fence_wgmma();
      GPU_UNROLL
      for (int step = 0; step < Shape::depth / 16; ++step) {
        Product::start(products, input.advanced(32 * step), weight.advanced(32 * step),
                       k > fold_start || step > 0);
      }
      commit_wgmma();
      // The stage before this one has been multiplied.
      wait_wgmma<1>(products);
      if (last_empty != 0 && thread == 0) arrive_mbarrier(last_empty);
      last_empty = base + Shape::empty + ring.stage * mbarrier_bytes;
      if constexpr (Product::folds) {
        if (k + 1 - fold_start < p.fold_tiles && k + 1 < p.depth_tiles) continue;
        wait_wgmma<0>(products);
        if (thread == 0) arrive_mbarrier(last_empty);
        last_empty = 0;
        Product::fold(p, first_column, fold, products, folded);
        fold_start = k + 1;
        fold += 1;
      }
    }
    if constexpr (!Product::folds) {
      wait_wgmma<0>(products);
      if (thread == 0) arrive_mbarrier(last_empty);
    }

    float(&sum)[tiles][4] = sums_of<Product::folds>(products, folded);
    Product::finish(p, row, sum);
    if (p.stores_boxes) {
      store_panels<T, Shape>(p, array, consumer, first_row, first_column, sum);
      continue;
    }
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      if (row + 8 * half >= p.m) continue;
      GPU_UNROLL
      for (int j = 0; j < tiles; ++j) {
        write_pair<T>(p.output, row + 8 * half, first_column + 8 * j + 2 * (lane_index() % 4),
                      sum[j][2 * half], sum[j][2 * half + 1]);
      }
    }
  }
  // A thread's stores must have read their panels before it leaves.
  if (p.stores_boxes && thread == 0) wait_stores_read<0>();
}

template <class Product, class Shape>
GPU_KERNEL(384, 1)
gemm_sm90_kernel(GPU_PARAMETER typename Product::Call p) {
  GPU_SHARED(shared);
  const SharedAddress start = shared_address(shared);
  const SharedAddress base = (start + Shape::alignment - 1) / Shape::alignment * Shape::alignment;
  unsigned char* array = shared + (base - start);
  if (thread_index() == 0) {
    prefetch_tensor_map(p.input);
    prefetch_tensor_map(p.weight);
    for (int stage = 0; stage < Shape::stages; ++stage) {
      init_mbarrier(base + Shape::full + stage * mbarrier_bytes, 1);
      init_mbarrier(base + Shape::empty + stage * mbarrier_bytes, Shape::consumers);
    }
    publish_mbarriers();
  }
  sync_block();
  if (thread_index() < 128) {
    give_registers<24>();
    if (warp_index() == 0 && elect_one()) bring_operands<Shape>(p, base);
  } else {
    take_registers<240>();
    multiply_tiles<Product, Shape>(p, array, base, thread_index() / 128 - 1);
  }
}

template <class Product, class Shape>
Status launch_gemm_sm90(Stream stream, const char* name, const typename Product::Call& call) {
  LaunchShape shape;
  const int tiles = call.row_tiles * call.column_tiles, multiprocessors = multiprocessor_count(stream);
  shape.grid.x = tiles < multiprocessors ? tiles : multiprocessors;
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes;
  return launch(stream, name, shape, gemm_sm90_kernel<Product, Shape>, call);
}

template <class T>
Status run_gemm_sm90(Stream stream, GemmSm90Form form, const GemmSm90Call& call) {
  return form == GemmSm90Form::columns256
             ? launch_gemm_sm90<DenseProduct<T>, GemmSm90Columns256>(stream, "gemm_sm90<256>", call)
             : launch_gemm_sm90<DenseProduct<T>, GemmSm90Columns128>(stream, "gemm_sm90<128>", call);
}

Status gemm_sm90_bf16(Stream stream, GemmSm90Form form, const GemmSm90Call& call);
Status gemm_sm90_f16(Stream stream, GemmSm90Form form, const GemmSm90Call& call);

/// `gemm_sm90` with a given form, for tests.
Status gemm_sm90_as(Stream stream, GemmSm90Form form, const GemmArguments& arguments);

}  // namespace gpu

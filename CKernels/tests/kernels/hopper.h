// One kernel for each primitive of sm_90, so that its map can be compared with a plain computation.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "device/tensor_map.h"

namespace gpu::test {

/// Copies one box to shared memory and dumps the bytes there, swizzle and all.
struct DumpBoxArguments {
  TensorMap map;
  int rank;
  int at[4];
  int bytes;
  uint32_t* output;
};
Status dump_box(Stream stream, const DumpBoxArguments& arguments);

/// Puts an image in shared memory and stores it as one box, the number of times a ring of two would.
struct StoreBoxArguments {
  TensorMap map;
  int rank;
  int at[3];
  int bytes;
  const uint32_t* image;
};
Status store_image(Stream stream, const StoreBoxArguments& arguments);

/// d[64][n] = a · b from operands that the host has laid out in shared memory.
struct WarpgroupProductArguments {
  /// Of sixteen k each; d is accumulated over them.
  static constexpr int steps = 2;

  /// float16, else bfloat16.
  bool half;
  bool transposed_b;
  int n;
  /// a comes from registers, gathered from `plain_a`.
  bool a_in_registers;
  /// [64][16 · steps], 16-bit
  const uint16_t* plain_a;
  /// Contents of shared memory from a 1024-byte boundary on; a first, then b at `b_start`.
  const uint32_t* image;
  int image_bytes;
  int b_start;
  Swizzle swizzle;
  int a_stride, a_leading, a_advance;
  int b_stride, b_leading, b_advance;
  /// [64][n]
  float* d;
};
Status multiply_in_warpgroup(Stream stream, const WarpgroupProductArguments& arguments);

/// Sums `rounds` slices of 128 floats through a ring of two stages: a producer warp copies them in bulk, and
/// two warpgroups consume them. Registers change hands as in a real kernel.
struct RingArguments {
  const float* input;
  int rounds;
  /// [2][128]: the sums of each warpgroup
  float* output;
};
Status sum_through_ring(Stream stream, const RingArguments& arguments);

/// Which lane of each of four warps was elected; output [4].
struct ElectArguments {
  int* output;
};
Status elect_lanes(Stream stream, const ElectArguments& arguments);

/// A load, a product and a store that are right but for one thing.
enum class HopperMistake : int {
  none,
  barrier_misaligned,
  barrier_never_initialised,
  barrier_initialised_twice,
  barrier_overwritten,
  too_many_arrivals,
  wrong_parity,
  expects_too_much,
  expects_too_little,
  box_misaligned,
  box_out_of_bounds,
  wrong_rank,
  no_map,
  load_never_awaited,
  no_wgmma_fence,
  wgmma_never_awaited,
  accumulator_written,
  operand_misaligned,
  operand_out_of_bounds,
  warps_disagree,
  gives_more_registers,
  takes_too_many_registers,
  store_never_awaited,
  // What only the checker sees.
  no_barrier_after_init,
  init_not_published,
  reads_box_in_flight,
  box_not_waited_for,
  operand_not_published,
  operand_published_by_another,
  accumulator_read,
  operand_overwritten,
  store_not_published,
  store_source_overwritten,
};
struct HopperMistakeArguments {
  /// Boxes of 64 rows of 64 bf16, swizzled by 128 bytes.
  TensorMap input, output;
  HopperMistake mistake;
};
Status make_hopper_mistake(Stream stream, const HopperMistakeArguments& arguments);

}  // namespace gpu::test

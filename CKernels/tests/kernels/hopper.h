// A kernel of the primitives of sm_90 with one mistake at a time.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "device/tensor_map.h"

namespace gpu::test {

/// A load, a product and a store that are right but for one thing.
enum class HopperMistake : int {
  none,
  barrier_misaligned,
  barrier_never_initialised,
  barrier_initialised_twice,
  barrier_overwritten,
  barrier_without_arrivals,
  announces_too_much,
  too_many_arrivals,
  wrong_parity,
  expects_too_much,
  expects_too_little,
  box_misaligned,
  box_out_of_bounds,
  wrong_rank,
  no_map,
  map_misaligned,
  bytes_not_of_sixteen,
  bytes_from_between,
  load_never_awaited,
  no_wgmma_fence,
  wgmma_never_awaited,
  accumulator_written,
  operand_misaligned,
  operand_out_of_bounds,
  warps_disagree,
  lanes_disagree,
  part_of_a_warpgroup,
  gives_more_registers,
  takes_too_many_registers,
  store_never_awaited,
  // What only the checker sees.
  no_barrier_after_init,
  init_not_published,
  reads_box_in_flight,
  box_not_waited_for,
  operand_not_written,
  operand_not_published,
  operand_published_by_another,
  accumulator_read,
  operand_overwritten,
  store_not_published,
  store_source_overwritten,
  store_read_back,
};
struct HopperMistakeArguments {
  /// Boxes of 64 rows of 64 bf16, swizzled by 128 bytes.
  TensorMap input, output;
  HopperMistake mistake;
  /// What `output` describes.
  const bf16* stored;
};
Status make_hopper_mistake(Stream stream, const HopperMistakeArguments& arguments);

}  // namespace gpu::test

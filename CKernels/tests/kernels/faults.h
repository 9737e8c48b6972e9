// Kernels that are wrong on purpose, each in one way.
#pragma once

#include "device/launch.h"

namespace gpu::test {

enum class Mistake : int {
  none,
  mask_without_caller,
  lane_has_left,
  divergent_collectives,
  shuffle_from_absent_lane,
  leaves_while_awaited,
  exits_before_barrier,
  exits_while_barrier_waits,
  divergent_barrier,
  barrier_counts_differ,
  arrives_twice,
  odd_barrier_count,
  deadlock,
  ldmatrix_misaligned,
  ldmatrix_out_of_bounds,
  copy_misaligned_target,
  copy_out_of_bounds,
  copy_misaligned_source,
  copy_too_long,
  copy_never_awaited,
  address_not_shared,
  adds_to_global,
  adds_out_of_bounds,
  writes_past_global,
  // What only the checker sees.
  race_write_write,
  race_write_read,
  race_read_write,
  race_read_addition,
  race_addition_write,
  adds_to_uninitialised,
  uninitialised,
  reads_copy_in_flight,
  copies_over_copy,
  copy_not_ordered_after_read,
  shared_out_of_bounds,
  global_out_of_bounds,
  misaligned,
  wild_pointer,
  blocks_write_same,
  block_reads_other,
};

struct MistakeArguments {
  Mistake mistake;
  /// 64 floats
  float* global;
  /// Any address outside of the device.
  const float* elsewhere;
};

/// Runs two blocks of 64 threads with 256 bytes of shared memory.
Status make_mistake(Stream stream, const MistakeArguments& arguments);

/// A lane exchange through shared memory, right when `synchronised`.
struct ExchangeArguments {
  bool synchronised;
  float* output;
};
Status exchange_lanes(Stream stream, const ExchangeArguments& arguments);

/// What orders the threads that hand numbers over to each other through device memory.
enum class HandOver : int {
  barriers,
  /// Within a warp, by barriers of the warp; and across warps by nothing else.
  warp_barriers,
  warp_barriers_across_warps,
  /// A vote takes the place of the barrier between writing and reading, or between reading and writing again.
  vote_before_reads,
  vote_before_writes,
  /// All write what all others write.
  same_value,
  /// All read a number, and the last of them writes it.
  last_reader_writes,
};
struct HandOverArguments {
  HandOver order;
  /// 64 floats, which come back as 63 … 0; exchanged in pairs for `warp_barriers` and `vote_before_reads`.
  float* numbers;
};
/// Runs one block of 64 threads.
Status hand_over(Stream stream, const HandOverArguments& arguments);

}  // namespace gpu::test

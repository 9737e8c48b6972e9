#include "device/device.h"
#include "tests/kernels/faults.h"

namespace gpu::test {
namespace {

constexpr int shared_bytes = 256;

GPU_DEVICE void warp_mistake(Mistake mistake, int lane) {
  switch (mistake) {
    case Mistake::mask_without_caller:
      sync_warp(lane == 3 ? 0xfu ^ 8u : 0xfu);
      break;
    case Mistake::lane_has_left:
      if (lane != 31) sync_warp();
      break;
    case Mistake::divergent_collectives:
      if (lane < 16) {
        ballot(true);
      } else {
        sync_warp();
      }
      break;
    case Mistake::shuffle_from_absent_lane:
      if (lane < 16) shuffle(1.0f, 20, 0xffffu);
      break;
    case Mistake::leaves_while_awaited:
      if (lane != 0) sync_warp();
      break;
    default:
      break;
  }
}

GPU_DEVICE void barrier_mistake(Mistake mistake, int thread) {
  switch (mistake) {
    case Mistake::exits_before_barrier:
    case Mistake::exits_while_barrier_waits:
      if ((thread >= 32) == (mistake == Mistake::exits_before_barrier)) sync_block();
      break;
    case Mistake::divergent_barrier:
      if (thread % 2) {
        sync_block();
      } else {
        sync_block();
      }
      break;
    case Mistake::barrier_counts_differ:
      sync_named<1>(thread < 32 ? 64 : 32);
      break;
    case Mistake::arrives_twice:
      arrive_named<2>(64);
      arrive_named<2>(64);
      break;
    case Mistake::odd_barrier_count:
      sync_named<1>(33);
      break;
    case Mistake::deadlock:
      if (thread < 32) sync_named<1>(64);
      if (thread >= 32) sync_named<2>(64);
      break;
    default:
      break;
  }
}

GPU_DEVICE void address_mistake(const MistakeArguments& p, unsigned char* shared, int thread) {
  const SharedAddress base = shared_address(shared);
  uint32_t registers[4];
  switch (p.mistake) {
    case Mistake::ldmatrix_misaligned:
      load_matrices(registers, base + 8);
      break;
    case Mistake::ldmatrix_out_of_bounds:
      load_matrices(registers, base + shared_bytes);
      break;
    case Mistake::copy_misaligned_target:
      copy_async(base + 4, p.global);
      break;
    case Mistake::copy_out_of_bounds:
      copy_async(base + shared_bytes, p.global);
      break;
    case Mistake::copy_misaligned_source:
      copy_async(base, p.global + 1);
      break;
    case Mistake::copy_too_long:
      copy_async(base, p.global, 17);
      break;
    case Mistake::copy_never_awaited:
      if (thread == 0) {
        copy_async(base, p.global);
        commit_copies();
      }
      break;
    case Mistake::address_not_shared:
      shared_address(p.global);
      break;
    case Mistake::adds_to_global:
      add_atomically(reinterpret_cast<uint32_t*>(p.global), 1u);
      break;
    case Mistake::adds_out_of_bounds:
      add_atomically(reinterpret_cast<uint64_t*>(shared + shared_bytes - 4), uint64_t(1));
      break;
    case Mistake::writes_past_global:
      if (thread == 0) p.global[64] = 1;
      break;
    default:
      break;
  }
}

GPU_DEVICE void memory_mistake(const MistakeArguments& p, float* shared, int thread) {
  const SharedAddress base = shared_address(shared);
  switch (p.mistake) {
    case Mistake::race_write_write:
      shared[0] = float(thread);
      break;
    case Mistake::race_write_read:
      shared[thread] = 0;
      sync_block();
      shared[thread] = 1;
      sync_warp();
      if (thread == 0) p.global[0] = shared[40];
      break;
    case Mistake::race_read_write:
      shared[thread] = 1;
      sync_block();
      if (thread == 0) p.global[0] = shared[40];
      if (thread == 40) shared[40] = 2;
      break;
    case Mistake::race_read_addition:
    case Mistake::race_addition_write: {
      uint32_t* sum = reinterpret_cast<uint32_t*>(shared);
      if (thread == 0) sum[1] = 0;
      sync_block();
      // Additions do not race with each other; one and a plain access do.
      if (p.mistake == Mistake::race_addition_write && thread == 63) sum[1] = 5;
      add_atomically(&sum[1], 1u);
      if (p.mistake == Mistake::race_read_addition && thread == 0) p.global[0] = float(sum[1]);
      break;
    }
    case Mistake::adds_to_uninitialised:
      add_atomically(reinterpret_cast<uint32_t*>(shared), 1u);
      break;
    case Mistake::uninitialised:
      if (thread == 0) p.global[0] = shared[3];
      break;
    case Mistake::reads_copy_in_flight:
      if (thread == 0) {
        copy_async(base, p.global);
        commit_copies();
        p.global[63] = shared[0];
        wait_copies<0>();
      }
      break;
    case Mistake::copies_over_copy:
      if (thread == 0) {
        copy_async(base, p.global);
        copy_async(base, p.global);
        commit_copies();
        wait_copies<0>();
      }
      break;
    case Mistake::copy_not_ordered_after_read:
      shared[thread] = 1;
      sync_block();
      if (thread == 0) p.global[0] = shared[0];
      if (thread == 40) {
        copy_async(base, p.global + 4);
        commit_copies();
        wait_copies<0>();
      }
      break;
    case Mistake::shared_out_of_bounds:
      if (thread == 0) shared[64] = 1;
      break;
    case Mistake::global_out_of_bounds:
      if (thread == 0) shared[0] = p.global[64];
      break;
    case Mistake::misaligned:
      if (thread == 0)
        p.global[0] = *reinterpret_cast<float*>(reinterpret_cast<unsigned char*>(p.global) + 2);
      break;
    case Mistake::wild_pointer:
      if (thread == 0) shared[0] = *p.elsewhere;
      break;
    case Mistake::blocks_write_same:
      if (thread == 0) p.global[0] = 1;
      break;
    case Mistake::block_reads_other:
      if (thread == 0 && block_x() == 0) shared[0] = p.global[5];
      if (thread == 0 && block_x() == 1) p.global[5] = 1;
      break;
    default:
      break;
  }
}

GPU_KERNEL(64, 1)
mistake_kernel(MistakeArguments p) {
  GPU_SHARED(shared);
  warp_mistake(p.mistake, thread_index());
  barrier_mistake(p.mistake, thread_index());
  address_mistake(p, shared, thread_index());
  memory_mistake(p, reinterpret_cast<float*>(shared), thread_index());
}

GPU_KERNEL(32, 1)
exchange_kernel(ExchangeArguments p) {
  GPU_SHARED(shared);
  float* values = reinterpret_cast<float*>(shared);
  const int lane = thread_index();
  values[lane] = float(lane);
  // A vote makes the lanes meet, but orders no memory.
  ballot(true);
  if (p.synchronised) sync_warp();
  p.output[lane] = values[31 - lane];
}

GPU_KERNEL(64, 1)
hand_over_kernel(HandOverArguments p) {
  const int thread = thread_index();
  const bool in_warps = p.order == HandOver::warp_barriers || p.order == HandOver::warp_barriers_across_warps;
  auto order = [&](bool is_vote) {
    if (in_warps) {
      sync_warp();
    } else if (is_vote) {
      ballot(true);
    } else {
      sync_block();
    }
  };
  p.numbers[p.order == HandOver::same_value ? 7 : thread] = float(thread);
  order(p.order == HandOver::vote_before_reads);
  const bool in_pairs = p.order == HandOver::warp_barriers || p.order == HandOver::vote_before_reads;
  float found = p.numbers[in_pairs ? thread ^ 1 : 63 - thread];
  if (p.order == HandOver::last_reader_writes) {
    found += p.numbers[7];
    // The last to come to a barrier is the first to go on; so this one follows all others.
    if (thread == 62) p.numbers[7] = 0;
  }
  order(p.order == HandOver::vote_before_writes);
  p.numbers[thread] = found;
}

}  // namespace

Status make_mistake(Stream stream, const MistakeArguments& arguments) {
  LaunchShape shape;
  shape.grid.x = 2;
  shape.threads = 64;
  shape.shared_bytes = shared_bytes;
  return launch(stream, "mistake", shape, mistake_kernel, arguments);
}

Status exchange_lanes(Stream stream, const ExchangeArguments& arguments) {
  LaunchShape shape;
  shape.threads = 32;
  shape.shared_bytes = 32 * sizeof(float);
  return launch(stream, "exchange", shape, exchange_kernel, arguments);
}

Status hand_over(Stream stream, const HandOverArguments& arguments) {
  return launch(stream, "hand_over", {{1, 1, 1}, 64, 0}, hand_over_kernel, arguments);
}

}  // namespace gpu::test

#include <cstring>

#include "device/device.h"
#include "tests/kernels/hopper.h"

namespace gpu::test {
namespace {

constexpr int tile_bytes = 64 * 128;
constexpr int shared_bytes = 2 * tile_bytes + 2 * mbarrier_bytes;

/// Loads a tile, multiplies it by one that the threads write, writes the product over the first, stores that.
GPU_KERNEL(384, 1)
hopper_mistake_kernel(GPU_PARAMETER HopperMistakeArguments p) {
  GPU_SHARED(shared);
  const SharedAddress base = shared_address(shared);
  unsigned char* array = shared + ((base + 1023) / 1024 * 1024 - base);
  const SharedAddress tile = shared_address(array), other = tile + tile_bytes, barrier = other + tile_bytes;
  const int thread = thread_index();
  const HopperMistake mistake = p.mistake;
  auto is = [&](HopperMistake one) { return mistake == one; };

  if (is(HopperMistake::gives_more_registers)) give_registers<256>();
  if (is(HopperMistake::takes_too_many_registers)) {
    if (warp_index() >= 8) give_registers<32>();
    take_registers<240>();
  }
  if (thread == 0) {
    if (is(HopperMistake::barrier_misaligned)) init_mbarrier(barrier + 4, 1);
    if (!is(HopperMistake::barrier_never_initialised)) init_mbarrier(barrier, 1);
    if (is(HopperMistake::barrier_initialised_twice)) init_mbarrier(barrier, 1);
    if (is(HopperMistake::barrier_without_arrivals)) init_mbarrier(barrier + 8, 0);
    if (!is(HopperMistake::init_not_published)) publish_mbarriers();
  }
  if (!is(HopperMistake::no_barrier_after_init)) sync_block();
  if (is(HopperMistake::barrier_overwritten) && thread == 5) array[2 * tile_bytes] = 0;

  if (thread == 0) {
    int announced = tile_bytes;
    if (is(HopperMistake::expects_too_much)) announced += 16;
    if (is(HopperMistake::expects_too_little)) announced -= 16;
    if (is(HopperMistake::announces_too_much)) announced = 1 << 20;
    if (is(HopperMistake::too_many_arrivals)) arrive_mbarrier_expecting(barrier, announced);
    arrive_mbarrier_expecting(barrier, announced);
    if (is(HopperMistake::no_map)) {
      load_box(tile, *reinterpret_cast<const TensorMap*>(reinterpret_cast<const char*>(&p) + 64), barrier, 0,
               0);
    }
    if (is(HopperMistake::map_misaligned)) {
      alignas(64) unsigned char copy[sizeof p.input + 8];
      std::memcpy(copy + 8, &p.input, sizeof p.input);
      load_box(tile, *reinterpret_cast<const TensorMap*>(copy + 8), barrier, 0, 0);
    }
    const auto* map = reinterpret_cast<const unsigned char*>(&p.input);
    if (is(HopperMistake::bytes_not_of_sixteen)) load_bytes(tile, map, 24, barrier);
    if (is(HopperMistake::bytes_from_between)) load_bytes(tile, map + 8, 16, barrier);
    if (is(HopperMistake::wrong_rank)) load_box(tile, p.input, barrier, 0, 0, 0);
    SharedAddress target = tile;
    if (is(HopperMistake::box_misaligned)) target += 64;
    if (is(HopperMistake::box_out_of_bounds)) target += tile_bytes + 1024;
    load_box(target, p.input, barrier, 0, 0);
  }
  if (is(HopperMistake::load_never_awaited)) return;
  if (is(HopperMistake::reads_box_in_flight) && thread == 0) array[tile_bytes] = array[0];
  if (!is(HopperMistake::box_not_waited_for)) wait_mbarrier(barrier, 0);
  if (is(HopperMistake::wrong_parity)) wait_mbarrier(barrier, 1);

  for (int i = thread; i < tile_bytes / 4; i += 128) {
    if (is(HopperMistake::operand_not_written) && i == 0) continue;
    reinterpret_cast<uint32_t*>(array + tile_bytes)[i] = 0x3f803f80u;  // ones
  }
  if (is(HopperMistake::operand_published_by_another)) {
    sync_block();
    if (thread == 0) fence_async_proxy();
  } else if (!is(HopperMistake::operand_not_published)) {
    fence_async_proxy();
  }
  sync_block();

  float d[8][4] = {};
  MatrixDescriptor a = k_major(tile, Swizzle::bytes_128), b = k_major(other, Swizzle::bytes_128);
  if (is(HopperMistake::operand_misaligned)) a = a.advanced(128);
  if (is(HopperMistake::operand_out_of_bounds)) b = b.advanced(tile_bytes);
  if (is(HopperMistake::warps_disagree) && warp_index() == 2) b = b.advanced(32);
  if (is(HopperMistake::lanes_disagree) && lane_index() == 7) b = b.advanced(32);
  if (!is(HopperMistake::no_wgmma_fence)) fence_wgmma();
  wgmma<bf16, false>(d, a, b, false);
  commit_wgmma();
  if (is(HopperMistake::accumulator_written)) d[3][1] = 1.0f;
  if (is(HopperMistake::accumulator_read)) d[0][0] = d[7][3];
  if (is(HopperMistake::wgmma_never_awaited)) return;
  if (is(HopperMistake::operand_overwritten)) {
    sync_block();
    if (thread == 77) array[tile_bytes] = 0;
  }
  wait_wgmma<0>(d);
  sync_block();

  reinterpret_cast<float*>(array)[thread] = d[0][0] + d[7][3];
  if (!is(HopperMistake::store_not_published)) fence_async_proxy();
  sync_block();
  if (thread == 0) {
    store_box(p.output, tile, 0, 0);
    commit_stores();
    if (is(HopperMistake::store_source_overwritten)) array[0] = 0;
    if (!is(HopperMistake::store_never_awaited)) wait_stores_read<0>();
    // The source has been read; when the target has been written nobody knows.
    if (is(HopperMistake::store_read_back)) array[0] = uint8_t(to_float(p.stored[5]));
  }
}

}  // namespace

Status make_hopper_mistake(Stream stream, const HopperMistakeArguments& arguments) {
  // Of three warpgroups each thread has 168 registers.
  const bool crowded = arguments.mistake == HopperMistake::takes_too_many_registers ||
                       arguments.mistake == HopperMistake::gives_more_registers;
  const int warps = crowded ? 12 : arguments.mistake == HopperMistake::part_of_a_warpgroup ? 3 : 4;
  return launch(stream, "hopper_mistake", {{1, 1, 1}, warps * warp_size, shared_bytes + 1024},
                hopper_mistake_kernel, arguments);
}

}  // namespace gpu::test

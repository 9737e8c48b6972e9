// Copies that the tensor memory accelerator makes on behalf of one thread (PTX ISA, cp.async.bulk; sm_90).
//
//   global → shared    completes an mbarrier: its bytes must be announced there, all bytes of the box whether
//                      they lie inside of the tensor or not
//   shared → global    belongs to a group of the issuing thread, which waits for it like for cp.async
//
// A box lies in shared memory row after row, innermost dimension first, with the map's swizzle applied.
#pragma once

#include "device/shared.h"
#include "device/tensor_map.h"

namespace gpu {

/// Asks for the map to be fetched early: a hint.
GPU_DEVICE void prefetch_tensor_map(const TensorMap& map) {
#if GPU_ON_DEVICE
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#else
  (void)map;
#endif
}

/// Starts copying the box at (x, y) to `destination`, a multiple of 128 bytes.
GPU_DEVICE void load_box(SharedAddress destination, const TensorMap& map, SharedAddress barrier, int x, int y,
                         Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], "
      "[%4];" ::"r"(destination),
      "l"(&map), "r"(x), "r"(y), "r"(barrier)
      : "memory");
#else
  const int at[5] = {x, y};
  simt::load_box(destination, map.word, barrier, at, 2, site);
#endif
}

GPU_DEVICE void load_box(SharedAddress destination, const TensorMap& map, SharedAddress barrier, int x, int y,
                         int z, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, "
      "%4}], [%5];" ::"r"(destination),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(barrier)
      : "memory");
#else
  const int at[5] = {x, y, z};
  simt::load_box(destination, map.word, barrier, at, 3, site);
#endif
}

GPU_DEVICE void load_box(SharedAddress destination, const TensorMap& map, SharedAddress barrier, int x, int y,
                         int z, int w, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, "
      "%4, %5}], [%6];" ::"r"(destination),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(w), "r"(barrier)
      : "memory");
#else
  const int at[5] = {x, y, z, w};
  simt::load_box(destination, map.word, barrier, at, 4, site);
#endif
}

/// Starts copying `bytes` contiguous bytes. Both addresses and the count are multiples of 16.
GPU_DEVICE void load_bytes(SharedAddress destination, const void* source, int bytes, SharedAddress barrier,
                           Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          destination),
      "l"(__cvta_generic_to_global(source)), "r"(bytes), "r"(barrier)
      : "memory");
#else
  simt::load_bytes(destination, source, bytes, barrier, site);
#endif
}

/// Starts writing the box at (x, y) from `source`, a multiple of 128 bytes; what lies outside of the tensor
/// is left out. The source must not change before `wait_stores_read`.
GPU_DEVICE void store_box(const TensorMap& map, SharedAddress source, int x, int y,
                          Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map),
               "r"(x), "r"(y), "r"(source)
               : "memory");
#else
  const int at[5] = {x, y};
  simt::store_box(map.word, source, at, 2, site);
#endif
}

GPU_DEVICE void store_box(const TensorMap& map, SharedAddress source, int x, int y, int z,
                          Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(&map),
      "r"(x), "r"(y), "r"(z), "r"(source)
      : "memory");
#else
  const int at[5] = {x, y, z};
  simt::store_box(map.word, source, at, 3, site);
#endif
}

/// Closes the thread's stores since the last call into a group.
GPU_DEVICE void commit_stores(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#else
  simt::commit_stores(site);
#endif
}

/// Waits until at most `pending` of the thread's latest groups have yet to read their sources. A thread must
/// not leave the kernel before.
template <int pending>
GPU_DEVICE void wait_stores_read(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
#else
  simt::wait_stores(pending, site);
#endif
}

}  // namespace gpu

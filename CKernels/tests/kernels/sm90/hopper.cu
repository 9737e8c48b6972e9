#include "device/device.h"
#include "tests/kernels/hopper.h"

namespace gpu::test {
namespace {

/// The first multiple of 1024 in the block's array: where a swizzle's pattern starts.
GPU_DEVICE unsigned char* aligned_array(unsigned char* shared) {
  const SharedAddress address = shared_address(shared);
  return shared + ((address + 1023) / 1024 * 1024 - address);
}
constexpr int alignment_slack = 1024;

GPU_KERNEL(32, 1)
dump_box_kernel(GPU_PARAMETER DumpBoxArguments p) {
  GPU_SHARED(shared);
  unsigned char* array = aligned_array(shared);
  const SharedAddress box = shared_address(array), barrier = box + SharedAddress(p.bytes);
  if (thread_index() == 0) {
    prefetch_tensor_map(p.map);
    init_mbarrier(barrier, 1);
    publish_mbarriers();
    arrive_mbarrier_expecting(barrier, p.bytes);
    if (p.rank == 2) load_box(box, p.map, barrier, p.at[0], p.at[1]);
    if (p.rank == 3) load_box(box, p.map, barrier, p.at[0], p.at[1], p.at[2]);
    if (p.rank == 4) load_box(box, p.map, barrier, p.at[0], p.at[1], p.at[2], p.at[3]);
    // Alone at first: nobody else can go on when the copy happens.
    wait_mbarrier(barrier, 0);
  }
  sync_warp();
  wait_mbarrier(barrier, 0);
  for (int i = thread_index(); i < p.bytes / 4; i += 32) p.output[i] = reinterpret_cast<uint32_t*>(array)[i];
}

GPU_KERNEL(32, 1)
store_image_kernel(GPU_PARAMETER StoreBoxArguments p) {
  GPU_SHARED(shared);
  unsigned char* array = aligned_array(shared);
  for (int i = thread_index(); i < p.bytes / 4; i += 32) reinterpret_cast<uint32_t*>(array)[i] = p.image[i];
  fence_async_proxy();
  sync_warp();
  if (thread_index() == 0) {
    if (p.rank == 2) store_box(p.map, shared_address(array), p.at[0], p.at[1]);
    if (p.rank == 3) store_box(p.map, shared_address(array), p.at[0], p.at[1], p.at[2]);
    commit_stores();
    wait_stores_read<0>();
  }
  // The array may be used again.
  sync_warp();
  for (int i = thread_index(); i < p.bytes / 4; i += 32) reinterpret_cast<uint32_t*>(array)[i] = 0;
}

template <class T, bool transposed_b, int n>
GPU_DEVICE void multiply(const WarpgroupProductArguments& p, SharedAddress start) {
  constexpr int steps = WarpgroupProductArguments::steps;
  const int warp = warp_index(), g = lane_index() / 4, q = lane_index() % 4;
  float d[n / 8][4] = {};
  uint32_t a[steps][4] = {};
  GPU_UNROLL
  for (int i = 0; i < 8 * steps; ++i) {
    const int row = 16 * warp + g + 8 * (i / 2 % 2), k = 2 * q + i % 2 + 8 * (i / 4);
    if (p.a_in_registers) a[i / 8][i / 2 % 4] |= uint32_t(p.plain_a[row * 16 * steps + k]) << (16 * (i % 2));
  }
  fence_wgmma();
  GPU_UNROLL
  for (int step = 0; step < steps; ++step) {
    const MatrixDescriptor b =
        MatrixDescriptor::of(start + p.b_start + step * p.b_advance, p.b_stride, p.swizzle, p.b_leading);
    if (p.a_in_registers) {
      wgmma<T, transposed_b>(d, a[step], b, step > 0);
    } else {
      const MatrixDescriptor first = MatrixDescriptor::of(start, p.a_stride, p.swizzle, p.a_leading);
      wgmma<T, transposed_b>(d, first.advanced(step * p.a_advance), b, step > 0);
    }
  }
  commit_wgmma();
  wait_wgmma<0>(d);
  GPU_UNROLL
  for (int j = 0; j < n / 8; ++j) {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) p.d[(16 * warp + g + 8 * (i / 2)) * n + 8 * j + 2 * q + i % 2] = d[j][i];
  }
}

template <class T, bool transposed_b>
GPU_DEVICE void multiply(const WarpgroupProductArguments& p, SharedAddress start) {
  if (p.n == 64) multiply<T, transposed_b, 64>(p, start);
  if (p.n == 96) multiply<T, transposed_b, 96>(p, start);
  if (p.n == 128) multiply<T, transposed_b, 128>(p, start);
  if (p.n == 256) multiply<T, transposed_b, 256>(p, start);
}

template <class T, bool transposed_b>
GPU_KERNEL(128, 1)
multiply_kernel(WarpgroupProductArguments p) {
  GPU_SHARED(shared);
  unsigned char* array = aligned_array(shared);
  for (int i = thread_index(); i < p.image_bytes / 4; i += 128) {
    reinterpret_cast<uint32_t*>(array)[i] = p.image[i];
  }
  fence_async_proxy();
  sync_block();
  multiply<T, transposed_b>(p, shared_address(array));
}

GPU_KERNEL(384, 1)
ring_kernel(RingArguments p) {
  constexpr int stages = 2, bytes = 512;
  GPU_SHARED(shared);
  const SharedAddress start = shared_address(shared);
  const SharedAddress full = start + stages * bytes, empty = full + stages * mbarrier_bytes;
  if (thread_index() == 0) {
    for (int stage = 0; stage < stages; ++stage) {
      init_mbarrier(full + stage * mbarrier_bytes, 1);
      init_mbarrier(empty + stage * mbarrier_bytes, 2);
    }
    publish_mbarriers();
  }
  sync_block();
  RingPosition<stages> ring;
  if (warp_index() < 4) {
    give_registers<24>();
    if (warp_index() == 0 && elect_one()) {
      for (int round = 0; round < p.rounds; ++round, ring.advance()) {
        wait_mbarrier(empty + ring.stage * mbarrier_bytes, ring.parity ^ 1);
        arrive_mbarrier_expecting(full + ring.stage * mbarrier_bytes, bytes);
        load_bytes(start + ring.stage * bytes, p.input + round * 128, bytes,
                   full + ring.stage * mbarrier_bytes);
      }
    }
  } else {
    take_registers<240>();
    const int thread = thread_index() % 128, group = thread_index() / 128 - 1;
    float sum = 0;
    for (int round = 0; round < p.rounds; ++round, ring.advance()) {
      wait_mbarrier(full + ring.stage * mbarrier_bytes, ring.parity);
      sum += reinterpret_cast<float*>(shared + ring.stage * bytes)[thread];
      if (group == 0) {
        sync_named<1>(128);
      } else {
        sync_named<2>(128);
      }
      if (thread == 0) arrive_mbarrier(empty + ring.stage * mbarrier_bytes);
    }
    p.output[128 * group + thread] = sum;
  }
}

GPU_KERNEL(128, 1)
elect_kernel(ElectArguments p) {
  if (elect_one()) p.output[warp_index()] = lane_index();
}

}  // namespace

Status dump_box(Stream stream, const DumpBoxArguments& arguments) {
  return launch(stream, "dump_box", {{1, 1, 1}, 32, arguments.bytes + mbarrier_bytes + alignment_slack},
                dump_box_kernel, arguments);
}
Status store_image(Stream stream, const StoreBoxArguments& arguments) {
  return launch(stream, "store_image", {{1, 1, 1}, 32, arguments.bytes + alignment_slack}, store_image_kernel,
                arguments);
}
Status multiply_in_warpgroup(Stream stream, const WarpgroupProductArguments& arguments) {
  const LaunchShape shape = {{1, 1, 1}, 128, arguments.image_bytes + alignment_slack};
  auto kernel = arguments.half
                    ? (arguments.transposed_b ? multiply_kernel<f16, true> : multiply_kernel<f16, false>)
                    : (arguments.transposed_b ? multiply_kernel<bf16, true> : multiply_kernel<bf16, false>);
  return launch(stream, "multiply_in_warpgroup", shape, kernel, arguments);
}
Status sum_through_ring(Stream stream, const RingArguments& arguments) {
  return launch(stream, "ring", {{1, 1, 1}, 384, 2 * 512 + 4 * mbarrier_bytes}, ring_kernel, arguments);
}
Status elect_lanes(Stream stream, const ElectArguments& arguments) {
  return launch(stream, "elect", {{1, 1, 1}, 128, 0}, elect_kernel, arguments);
}

}  // namespace gpu::test

// Probes of device/mbarrier.h, tma.h, tensor_map.h, proxy.h, registers.h, and elect_one of warp.h.

#include "conformance/probe.h"
#include "device/device.h"

namespace gpu::conformance {
namespace {

/// The first multiple of 1024 in the block's array: where a swizzle's pattern starts.
GPU_DEVICE unsigned char* aligned_array(unsigned char* shared) {
  const SharedAddress address = shared_address(shared);
  return shared + ((address + 1023) / 1024 * 1024 - address);
}
constexpr int alignment_slack = 1024;

struct BoxArguments {
  TensorMap map;
  int rank;
  int at[4];
  int bytes;
  /// Of a load: where the box's image goes. Of a store: the image.
  uint32_t* output;
  const uint32_t* image;
};

/// Dumps a box as it lies in shared memory, swizzle and all.
GPU_KERNEL(32, 1)
load_box_kernel(GPU_PARAMETER BoxArguments p) {
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
store_box_kernel(GPU_PARAMETER BoxArguments p) {
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

struct FillArguments {
  uint32_t* words;
  uint32_t value;
  int count;
};

GPU_KERNEL(128, 1)
fill_kernel(FillArguments p) {
  for (int i = thread_index(); i < p.count; i += 128) p.words[i] = p.value;
}

/// Three dimensions at most are not the innermost one; sizes and steps in elements of 16 bits.
struct Tensor {
  int rank;
  int size[4];
  int step[4];
  int box[4];

  int box_words() const {
    int elements = 1;
    for (int i = 0; i < rank; ++i) elements *= box[i];
    return elements / 2;
  }
};

/// Rows of 44 elements, 48 apart; boxes as wide as the swizzle's pattern.
Tensor matrix(Swizzle swizzle) {
  const int columns = swizzle == Swizzle::none ? 24 : swizzle_span(swizzle) / 2;
  return {2, {44, 21}, {1, 48}, {columns, 16}};
}
Tensor deep(int rank) { return {rank, {8, 5, 4, 3}, {1, 8, 40, 160}, {8, 3, 2, 2}}; }
constexpr int matrix_words = 21 * 48 / 2, deep_words = 3 * 160 / 2;

/// Boxes inside, over each edge and wholly outside.
constexpr int places[6][2] = {{0, 0}, {16, 9}, {-5, -3}, {40, 20}, {100, 0}, {0, 21}};

Status describe(TensorMap& map, const Tensor& t, const void* address, Swizzle swizzle) {
  TensorMapDescription d = {address, 2, t.rank, {}, {}, {}, swizzle};
  for (int i = 0; i < t.rank; ++i) {
    d.size[i] = t.size[i];
    d.stride[i] = i == 0 ? 0 : t.step[i] * 2;
    d.box[i] = t.box[i];
  }
  return encode_tensor_map(map, d);
}

/// variation 0: Swizzle. input: the tensor; output [6]: the boxes
Status launch_loads(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  const Tensor tensor = matrix(Swizzle(probe.variation[0]));
  BoxArguments box = {};
  Status status = describe(box.map, tensor, arguments.input, Swizzle(probe.variation[0]));
  box.rank = 2;
  box.bytes = tensor.box_words() * 4;
  for (int i = 0; i < 6 && status == 0; ++i) {
    box.at[0] = places[i][0];
    box.at[1] = places[i][1];
    box.output = arguments.output + i * tensor.box_words();
    status = launch(stream, probe.description.name,
                    {{1, 1, 1}, 32, box.bytes + mbarrier_bytes + alignment_slack}, load_box_kernel, box);
  }
  return status;
}

/// variation 0: rank. The box hangs over the second and the third dimension.
Status launch_deep_load(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  const Tensor tensor = deep(probe.variation[0]);
  BoxArguments box = {};
  Status status = describe(box.map, tensor, arguments.input, Swizzle::none);
  if (status != 0) return status;
  box.rank = tensor.rank;
  for (int i = 1; i < 4; ++i) box.at[i] = 4 - i;
  box.bytes = tensor.box_words() * 4;
  box.output = arguments.output;
  return launch(stream, probe.description.name, {{1, 1, 1}, 32, box.bytes + mbarrier_bytes + alignment_slack},
                load_box_kernel, box);
}

/// variation 0: Swizzle, 1: rank. input: an image of a box; output: the tensor, with ones where nothing was
/// written
Status launch_store(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  const Swizzle swizzle = Swizzle(probe.variation[0]);
  const Tensor tensor = probe.variation[1] == 2 ? matrix(swizzle) : deep(3);
  Status status = launch(stream, probe.description.name, {{1, 1, 1}, 128, 0}, fill_kernel,
                         FillArguments{arguments.output, ~0u, probe.description.output_words});
  BoxArguments box = {};
  if (status == 0) status = describe(box.map, tensor, arguments.output, swizzle);
  box.rank = tensor.rank;
  box.bytes = tensor.box_words() * 4;
  box.image = arguments.input;
  // Boxes that hang over the first and the last corner do not meet.
  constexpr int corners[2][3] = {{-8, -9, 0}, {32, 12, 0}}, deep_corners[2][3] = {{0, -1, -1}, {0, 3, 3}};
  for (int i = 0; i < 2 && status == 0; ++i) {
    for (int axis = 0; axis < 3; ++axis)
      box.at[axis] = tensor.rank == 2 ? corners[i][axis] : deep_corners[i][axis];
    status = launch(stream, probe.description.name, {{1, 1, 1}, 32, box.bytes + alignment_slack},
                    store_box_kernel, box);
  }
  return status;
}

/// Sums slices of 128 words through a ring of two stages: a producer warp copies them in bulk, and two
/// warpgroups consume them. Registers change hands as in a real kernel.
/// input [rounds][128]; output [2][128]
constexpr int rounds = 7;

GPU_KERNEL(384, 1)
ring_kernel(ProbeArguments p) {
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
      for (int round = 0; round < rounds; ++round, ring.advance()) {
        wait_mbarrier(empty + ring.stage * mbarrier_bytes, ring.parity ^ 1);
        arrive_mbarrier_expecting(full + ring.stage * mbarrier_bytes, bytes);
        load_bytes(start + ring.stage * bytes, p.input + round * 128, bytes,
                   full + ring.stage * mbarrier_bytes);
      }
    }
  } else {
    take_registers<240>();
    const int thread = thread_index() % 128, group = thread_index() / 128 - 1;
    uint32_t sum = 0;
    for (int round = 0; round < rounds; ++round, ring.advance()) {
      wait_mbarrier(full + ring.stage * mbarrier_bytes, ring.parity);
      sum = sum * 3 + reinterpret_cast<uint32_t*>(shared + ring.stage * bytes)[thread];
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

Status launch_ring(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{1, 1, 1}, 384, 2 * 512 + 4 * mbarrier_bytes}, ring_kernel,
                arguments);
}

/// Which lane it is is not specified; that it is one, and the same each time, is.
/// output [4][2]: elected lanes of a warp, and whether a second election chose the same
GPU_KERNEL(128, 1)
elect_kernel(ProbeArguments p) {
  const uint32_t first = ballot(elect_one()), second = ballot(elect_one());
  if (lane_index() != 0) return;
  p.output[2 * warp_index()] = uint32_t(32 - leading_zeros(first & (first - 1))) + (first != 0 ? 1 : 0);
  p.output[2 * warp_index() + 1] = first == second;
}

Status launch_elect(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{1, 1, 1}, 128, 0}, elect_kernel, arguments);
}

}  // namespace

std::vector<Probe> bulk_probes() {
  std::vector<Probe> probes = {
      {exact("mbarrier.ring", "mbarrier.h", rounds * 128, 256, 90), {}, fill_bits, launch_ring},
      {exact("warp.elect", "warp.h", 1, 8, 90), {}, fill_bits, launch_elect},
      {exact("tma.load.3d", "tma.h", deep_words, deep(3).box_words(), 90), {3}, fill_bits, launch_deep_load},
      {exact("tma.load.4d", "tma.h", deep_words, deep(4).box_words(), 90), {4}, fill_bits, launch_deep_load},
      {exact("tma.store.3d", "tma.h", deep(3).box_words(), 160 / 2, 90), {0, 3}, fill_bits, launch_store},
  };
  static const char* const loads[] = {"tma.load.plain", "tma.load.32", "tma.load.64", "tma.load.128"};
  static const char* const stores[] = {"tma.store.plain", "tma.store.32", "tma.store.64", "tma.store.128"};
  for (int swizzle = 0; swizzle < 4; ++swizzle) {
    const int box = matrix(Swizzle(swizzle)).box_words();
    probes.push_back(
        {exact(loads[swizzle], "tma.h", matrix_words, 6 * box, 90), {swizzle}, fill_bits, launch_loads});
    probes.push_back(
        {exact(stores[swizzle], "tma.h", box, matrix_words, 90), {swizzle, 2}, fill_bits, launch_store});
  }
  return probes;
}

}  // namespace gpu::conformance

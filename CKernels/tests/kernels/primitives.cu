#include "device/device.h"
#include "tests/kernels/primitives.h"

namespace gpu::test {
namespace {

GPU_KERNEL(32, 1)
load_kernel(LoadArguments p) {
  GPU_SHARED(shared);
  const int lane = thread_index();
  for (int i = lane; i < 256; i += 32) {
    reinterpret_cast<uint16_t*>(shared + i / 16 * p.pitch)[i % 16] = p.matrix[i];
  }
  sync_warp();
  // Matrices: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  const SharedAddress row = shared_address(shared) + SharedAddress(lane % 16 * p.pitch + lane / 16 * 16);
  uint32_t registers[4];
  if (p.transposed) {
    load_matrices_transposed(registers, row);
  } else {
    load_matrices(registers, row);
  }
  for (int i = 0; i < 4; ++i) p.registers[lane * 4 + i] = registers[i];
}

}  // namespace

Status load(Stream stream, const LoadArguments& arguments) {
  return launch(stream, "load", {{1, 1, 1}, 32, 16 * arguments.pitch}, load_kernel, arguments);
}

}  // namespace gpu::test

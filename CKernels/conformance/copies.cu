// A probe of device/async_copy.h and shared.h.

#include "conformance/probe.h"
#include "device/device.h"

namespace gpu::conformance {
namespace {

constexpr int threads = 64;

/// Each thread copies 16 bytes in each of three groups, of which 0 to 16 are valid, and looks at its
/// neighbour's after each wait.
/// input: chunks [3][64][4] | valid bytes [3][64]; output [3][64][4]
GPU_KERNEL(threads, 1)
copy_kernel(ProbeArguments p) {
  GPU_SHARED(shared);
  const int thread = thread_index();
  const SharedAddress target = shared_address(shared) + SharedAddress(thread * 16);
  for (int group = 0; group < 3; ++group) {
    const int chunk = group * threads + thread;
    copy_async(target + SharedAddress(group * threads * 16), p.input + 4 * chunk,
               int(p.input[3 * threads * 4 + chunk] % 17));
    commit_copies();
  }
  auto write = [&](int group) {
    sync_block();
    const int chunk = group * threads + (thread + 1) % threads;
    for (int i = 0; i < 4; ++i) p.output[4 * chunk + i] = reinterpret_cast<uint32_t*>(shared)[4 * chunk + i];
  };
  wait_copies<2>();
  write(0);
  wait_copies<1>();
  write(1);
  wait_copies<0>();
  write(2);
}

Status launch_copies(Stream stream, const Probe& probe, const ProbeArguments& arguments) {
  return launch(stream, probe.description.name, {{1, 1, 1}, threads, 3 * threads * 16}, copy_kernel,
                arguments);
}

}  // namespace

std::vector<Probe> copy_probes() {
  return {
      {exact("cp.async", "async_copy.h", 3 * threads * 5, 3 * threads * 4), {}, fill_bits, launch_copies}};
}

}  // namespace gpu::conformance

// Sampled tokens as the next step's inputs.

#include "device/device.h"
#include "sampling/arguments.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

GPU_KERNEL(block_threads, 8)
feed_kernel(FeedArguments p) {
  const int64_t i = int64_t(block_x()) * block_threads + thread_index();
  if (i >= p.count) return;
  const int source = p.sources[i];
  if (source >= 0) p.tokens[i] = p.sampled[source];
}

}  // namespace

Status feed_tokens(Stream stream, const FeedArguments& arguments) {
  if (arguments.count < 0) return invalid_arguments;
  if (arguments.count == 0) return 0;
  LaunchShape shape;
  shape.grid.x = int((int64_t(arguments.count) + block_threads - 1) / block_threads);
  shape.threads = block_threads;
  return launch(stream, "feed_tokens", shape, feed_kernel, arguments);
}

}  // namespace gpu

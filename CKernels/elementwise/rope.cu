// Rotary position embedding of query and key, in place.

#include "device/device.h"
#include "elementwise/arguments.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

/// One block a token. A thread takes every 128th pair of (head, pair), query heads first: neighbouring
/// threads rotate neighbouring pairs.
template <class T>
GPU_KERNEL(block_threads, 8)
rope_kernel(RopeArguments p) {
  const int64_t token = block_x();
  const int pairs = p.rotary / 2;
  const float* cosines = p.table + int64_t(p.positions[token]) * p.rotary;
  const float* sines = cosines + pairs;
  T* query = static_cast<T*>(p.query) + token * p.query_stride;
  T* key = static_cast<T*>(p.key) + token * p.key_stride;

  const int total = (p.query_heads + p.key_heads) * pairs;
  for (int i = thread_index(); i < total; i += block_threads) {
    const int head = i / pairs, pair = i % pairs;
    T* components = head < p.query_heads ? query + head * p.head_dimension
                                         : key + (head - p.query_heads) * p.head_dimension;
    const bool interleaved = p.pairing == RotaryPairing::interleaved;
    T* first = components + (interleaved ? 2 * pair : pair);
    T* second = components + (interleaved ? 2 * pair + 1 : pair + pairs);
    const float x = to_float(*first), y = to_float(*second);
    const float cosine = cosines[pair], sine = sines[pair];
    *first = from_float<T>(x * cosine - y * sine);
    *second = from_float<T>(y * cosine + x * sine);
  }
}

}  // namespace

Status rope(Stream stream, const RopeArguments& given) {
  if (given.tokens == 0) return 0;
  RopeArguments arguments = given;
  if (given.query_stride == 0) arguments.query_stride = int64_t(given.query_heads) * given.head_dimension;
  if (given.key_stride == 0) arguments.key_stride = int64_t(given.key_heads) * given.head_dimension;
  LaunchShape shape;
  shape.grid.x = arguments.tokens;
  shape.threads = block_threads;
  if (arguments.type == ElementType::bfloat16) {
    return launch(stream, "rope<bf16>", shape, rope_kernel<bf16>, arguments);
  }
  return launch(stream, "rope<f16>", shape, rope_kernel<f16>, arguments);
}

}  // namespace gpu

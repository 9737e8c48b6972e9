// Adds one matrix to another.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

template <class T, int width>
GPU_KERNEL(block_threads, 8)
add_kernel(AddArguments p) {
  const int64_t i = (int64_t(block_x()) * block_threads + thread_index()) * width;
  if (i >= p.count) return;
  T* accumulator = static_cast<T*>(p.accumulator) + i;
  auto x = Piece<T, width>::load(accumulator);
  auto addend = Piece<T, width>::load(static_cast<const T*>(p.input) + i);
  GPU_UNROLL
  for (int j = 0; j < width; ++j) x.value[j] += addend.value[j];
  x.store(accumulator);
}

template <class T, int width>
Status run(Stream stream, const char* name, const AddArguments& a) {
  constexpr int64_t elements = int64_t(block_threads) * width;
  LaunchShape shape;
  shape.grid.x = int((a.count + elements - 1) / elements);
  shape.threads = block_threads;
  return launch(stream, name, shape, add_kernel<T, width>, a);
}

template <class T>
Status run(Stream stream, const AddArguments& a) {
  return allows_vectors(a.count, a.accumulator, a.input) ? run<T, 8>(stream, "add<8>", a)
                                                         : run<T, 1>(stream, "add<1>", a);
}

}  // namespace

Status add(Stream stream, const AddArguments& arguments) {
  // The grid's x axis ends at 2^31 - 1 blocks.
  if (arguments.count < 0 || arguments.count > int64_t(INT32_MAX) * block_threads) return invalid_arguments;
  if (arguments.count == 0) return 0;
  return arguments.type == ElementType::bfloat16 ? run<bf16>(stream, arguments) : run<f16>(stream, arguments);
}

}  // namespace gpu

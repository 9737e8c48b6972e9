// Token embedding, with learned positions added where the model has them: one block a token.

#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;

template <class T, int width>
GPU_KERNEL(block_threads, 8)
embedding_kernel(EmbeddingArguments p) {
  const int64_t token = block_x();
  const T* row = static_cast<const T*>(p.table) + int64_t(p.ids[token]) * p.table_stride;
  const T* position = p.position_table
                          ? static_cast<const T*>(p.position_table) + int64_t(p.positions[token]) * p.width
                          : nullptr;
  T* output = static_cast<T*>(p.output) + token * p.width;
  for (int i = thread_index() * width; i < p.width; i += block_threads * width) {
    auto x = Piece<T, width>::load(row + i);
    if (position) {
      auto addend = Piece<T, width>::load(position + i);
      GPU_UNROLL
      for (int j = 0; j < width; ++j) x.value[j] += addend.value[j];
    }
    x.store(output + i);
  }
}

template <class T>
Status run(Stream stream, const EmbeddingArguments& given) {
  EmbeddingArguments a = given;
  if (a.table_stride == 0) a.table_stride = a.width;
  LaunchShape shape;
  shape.grid.x = a.tokens;
  shape.threads = block_threads;
  if (allows_vectors(a.width, a.table, a.position_table, a.output) && a.table_stride % 8 == 0) {
    return launch(stream, "embedding<8>", shape, embedding_kernel<T, 8>, a);
  }
  return launch(stream, "embedding<1>", shape, embedding_kernel<T, 1>, a);
}

}  // namespace

Status embedding(Stream stream, const EmbeddingArguments& arguments) {
  if (arguments.tokens == 0) return 0;
  return arguments.type == ElementType::bfloat16 ? run<bf16>(stream, arguments) : run<f16>(stream, arguments);
}

}  // namespace gpu

// Operands that are columns of one fused projection, and steps of prompts and single rows together: the same
// bits as when they lie alone.

#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

/// Query, key and value of each token beside each other, and the same three as matrices of their own.
struct FusedProjection {
  FusedProjection(int tokens, int query_width, int key_width)
      : stride(query_width + 2 * key_width),
        fused("fused", random_values<bf16>(size_t(tokens * stride), 3)),
        query("query", part(0, query_width, tokens)),
        key("key", part(query_width, key_width, tokens)),
        value("value", part(query_width + key_width, key_width, tokens)) {}

  std::vector<bf16> part(int first, int width, int tokens) {
    std::vector<bf16> values;
    for (int token = 0; token < tokens; ++token) {
      for (int i = 0; i < width; ++i) values.push_back(fused[size_t(token * stride + first + i)]);
    }
    return values;
  }

  int stride;
  DeviceArray<bf16> fused, query, key, value;
};

template <class T>
bool same_bits(const std::vector<T>& a, const DeviceArray<T>& b) {
  return std::memcmp(a.data(), b.bytes().data(), a.size() * sizeof(T)) == 0;
}

TEST("rope rotates columns of a fused projection in place, and nothing beside them") {
  const int tokens = 5, heads = 3, key_heads = 2, dimension = 16;
  FusedProjection p(tokens, heads * dimension, key_heads * dimension);
  std::vector<float> angles(size_t(9 * dimension));
  for (size_t i = 0; i < angles.size(); ++i) angles[i] = 0.01f * float(i) - 0.5f;
  DeviceArray<float> table("table", angles);
  DeviceArray<int32_t> positions("positions", std::vector<int32_t>{0, 8, 3, 3, 1});
  RopeArguments arguments = {ElementType::bfloat16,
                             RotaryPairing::halves,
                             tokens,
                             heads,
                             key_heads,
                             dimension,
                             dimension,
                             p.query.data(),
                             p.key.data(),
                             positions.data(),
                             table.data()};
  simt::Stream stream;
  EXPECT(rope(&stream, arguments) == 0);
  arguments.query = p.fused.data();
  arguments.key = p.fused.data() + heads * dimension;
  arguments.query_stride = arguments.key_stride = p.stride;
  EXPECT(rope(&stream, arguments) == 0);
  EXPECT(same_bits(p.part(0, heads * dimension, tokens), p.query));
  EXPECT(same_bits(p.part(heads * dimension, key_heads * dimension, tokens), p.key));
  EXPECT(same_bits(p.part((heads + key_heads) * dimension, key_heads * dimension, tokens), p.value));
}

TEST("appending reads columns of a fused projection, of any width") {
  // Steps of 100 elements allow no vectors, though the first row would.
  for (int query_width : {64, 40, 36}) {
    const int tokens = 3, heads = 2, dimension = 16, width = heads * dimension;
    FusedProjection p(tokens, query_width, width);
    DeviceArray<bf16> key("first columns", p.part(0, width, tokens));
    DeviceArray<bf16> value("next columns", p.part(width, width, tokens));
    DeviceArray<bf16> cache("cache", size_t(4 * 2 * 16 * width)), other("other", cache.size());
    DeviceArray<int32_t> slots("slots", std::vector<int32_t>{33, 2, 17});
    AppendArguments arguments = {ElementType::bfloat16, tokens,       heads,       dimension, key.data(),
                                 value.data(),          slots.data(), cache.data()};
    simt::Stream stream;
    EXPECT(append_kv(&stream, arguments) == 0);
    arguments.key = p.fused.data();
    arguments.value = p.fused.data() + width;
    arguments.key_stride = arguments.value_stride = p.stride;
    arguments.cache = other.data();
    EXPECT(append_kv(&stream, arguments) == 0);
    EXPECT(cache.bytes() == other.bytes());
  }
}

TEST("gathering reads columns of a fused projection, of any width") {
  // The first columns are aligned, and at a step of 100 elements the rows after the first are not.
  for (int query_width : {64, 36}) {
    for (int first : {query_width, 0}) {
      const int tokens = 4, width = 32;
      FusedProjection p(tokens, query_width, width);
      const auto expected = p.part(first, width, tokens);
      DeviceArray<bf16> output("output", size_t(3 * width));
      DeviceArray<int32_t> rows("rows", std::vector<int32_t>{3, 0, 2});
      EmbeddingArguments arguments = {ElementType::bfloat16,  3,       width,   rows.data(),
                                      p.fused.data() + first, nullptr, nullptr, output.data()};
      arguments.table_stride = p.stride;
      simt::Stream stream;
      EXPECT(embedding(&stream, arguments) == 0);
      for (size_t i = 0; i < 3; ++i) {
        for (size_t j = 0; j < size_t(width); ++j) {
          EXPECT(output[i * width + j].bits == expected[size_t(rows[i]) * width + j].bits);
        }
      }
    }
  }
}

TEST("attention reads the query from columns of a fused projection") {
  AttentionInputs<bf16> inputs({"strided", {3, 1}, {70, 150}, 4, 2, 32});
  AttentionArguments arguments = inputs.arguments();
  const int width = 4 * 32, stride = width + 2 * 64;
  DeviceArray<bf16> wide("wide", size_t(inputs.tokens * stride));
  for (int token = 0; token < inputs.tokens; ++token) {
    for (int i = 0; i < width; ++i) {
      wide[size_t(token * stride + i)] = (*inputs.query)[size_t(token * width + i)];
    }
  }
  DeviceArray<float> outputs("partial outputs", 4 * 4 * 3 * 32), log_sums("partial log sums", 4 * 4 * 3);
  auto run = [&](bool strided) {
    arguments.query = strided ? wide.data() : inputs.query->data();
    arguments.query_stride = strided ? stride : 0;
    simt::Stream stream;
    std::memset(inputs.output->data(), 0xff, inputs.output->size() * sizeof(bf16));
    EXPECT(attention_decode(&stream, arguments, {64, outputs.data(), log_sums.data()}) == 0);
    std::vector<unsigned char> bytes = inputs.output->bytes();
    EXPECT(attention_prefill(&stream, arguments) == 0);
    std::vector<unsigned char> more = inputs.output->bytes();
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  };
  EXPECT(run(true) == run(false));
  arguments.query_stride = stride + 4;
  EXPECT(attention_prefill(nullptr, arguments) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

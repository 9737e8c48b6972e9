// Decode attention over the paged cache, split and not, against the double precision reference.

#include <cstring>

#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

template <class T>
void test_decode(const AttentionCase& c, int split_keys) {
  int longest = 0;
  for (int context : c.contexts) longest = std::max(longest, context);
  size_t rows = 0;
  for (int queries : c.queries) rows += size_t(queries);
  const size_t slots = rows * size_t(c.query_heads) * size_t((longest + split_keys - 1) / split_keys);
  DeviceArray<float> outputs("partial outputs", slots * size_t(c.dimension));
  DeviceArray<float> log_sums("partial log sums", slots);
  const DecodeWorkspace workspace = {split_keys, outputs.data(), log_sums.data()};
  auto statistics = expect_attention<T>(c, [&](Stream stream, const AttentionArguments& arguments) {
    return attention_decode(stream, arguments, workspace);
  });
  EXPECT(statistics.bank_conflicts == 0);
}

TEST("decode: contexts of one key, of a tile and with tails, whole and split") {
  for (int context : {1, 16, 64, 65, 200}) {
    for (int split_keys : {64, 128, 1024}) {
      test_decode<bf16>({"one sequence", {1}, {context}, 2, 1, 64}, split_keys);
    }
  }
}

TEST("decode: batches with several key heads, unequal lengths and sequences that rest") {
  test_decode<bf16>({"batch", {1, 0, 1, 1}, {150, 30, 7, 64}, 8, 2, 64}, 64);
  test_decode<f16>({"batch f16", {1, 1}, {70, 129}, 6, 3, 32}, 128);
  test_decode<bf16>({"no key", {1, 1}, {0, 3}, 2, 2, 32}, 64);
  // The table of a resting sequence ends with its keys: one more would be read from other memory.
  test_decode<bf16>({"rests", {1, 0}, {3, 64}, 4, 2, 32}, 128);
}

TEST("decode: groups of one head, of sixteen and of more") {
  test_decode<bf16>({"no group", {1}, {90}, 3, 3, 32}, 64);
  test_decode<f16>({"sixteen", {1}, {90}, 32, 2, 16}, 64);
  test_decode<bf16>({"twenty", {1}, {90}, 40, 2, 16}, 64);
}

TEST("decode: every head dimension, padded ones too") {
  for (int dimension : {8, 16, 40, 64, 72, 80, 96, 112, 128}) {
    test_decode<bf16>({"head dimension", {1}, {75}, 4, 2, dimension}, 64);
    test_decode<f16>({"head dimension f16", {1}, {75}, 2, 1, dimension}, 128);
  }
}

TEST("decode: wide heads") {
  for (int dimension : {136, 192, 256}) test_decode<bf16>({"wide", {1}, {75}, 4, 2, dimension}, 64);
  test_decode<f16>({"f16 256", {1, 1}, {200, 31}, 3, 1, 256}, 128);
}

TEST("decode: learned sinks, whole and split, also where there is no key") {
  for (int split_keys : {64, 256}) {
    test_decode<bf16>({"sinks", {1, 1}, {200, 30}, 6, 2, 32, true, 0, 0, false, true}, split_keys);
    test_decode<f16>({"sinks and alibi", {1}, {130}, 3, 3, 64, true, 90, 0, true, true}, split_keys);
  }
  test_decode<bf16>({"only a sink", {1, 1}, {0, 3}, 3, 3, 32, true, 0, 0, false, true}, 64);
}

TEST("decode: windows that leave whole parts out, ALiBi and softcap") {
  for (int window : {1, 40, 64, 130}) {
    test_decode<bf16>({"window", {1}, {200}, 2, 1, 32, true, window}, 64);
  }
  test_decode<bf16>({"alibi", {1, 1}, {140, 20}, 6, 2, 32, true, 0, 0, true}, 64);
  test_decode<f16>({"softcap", {1}, {100}, 2, 1, 64, true, 0, 5.0f}, 64);
  test_decode<bf16>({"all", {1}, {130}, 4, 2, 64, true, 90, 20.0f, true}, 64);
}

TEST("decode: streams see the first positions and a window, whole and split") {
  for (int split_keys : {64, 1024}) {
    auto test = [&](const char* name, std::vector<int> contexts, int dimension, int window, int sinks,
                    bool alibi = false) {
      AttentionCase c = {name, std::vector<int>(contexts.size(), 1), contexts, 4, 2, dimension, true, window};
      c.sinks = sinks;
      c.alibi = alibi;
      test_decode<bf16>(c, split_keys);
      c.sink_logits = true;
      test_decode<f16>(c, split_keys);
    };
    test("stream", {300, 10, 36, 37}, 32, 32, 4);
    test("sinks over two parts, with alibi", {300, 120}, 64, 40, 70, true);
    test("sinks beside the window", {50}, 32, 20, 17);
    test("wide heads", {200}, 256, 33, 5);
  }
}

TEST("decode gives the same bits whatever else is in the batch") {
  AttentionInputs<bf16> alone({"alone", {1}, {150}, 4, 2, 32}),
      among({"among", {1, 1}, {150, 400}, 4, 2, 32});
  auto run = [](AttentionInputs<bf16>& inputs) {
    AttentionArguments arguments = inputs.arguments();
    DeviceArray<float> outputs("partial outputs", size_t(inputs.tokens) * 4 * 7 * 32);
    DeviceArray<float> log_sums("partial log sums", size_t(inputs.tokens) * 4 * 7);
    simt::Stream stream;
    EXPECT(attention_decode(&stream, arguments, {64, outputs.data(), log_sums.data()}) == 0);
    auto bytes = inputs.output->bytes();
    bytes.resize(4 * 32 * sizeof(bf16));
    return bytes;
  };
  // The same query, keys and values, in other pages.
  for (size_t i = 0; i < 4 * 32; ++i) (*among.query)[i] = (*alone.query)[i];
  for (int position = 0; position < 150; ++position) {
    for (int part : {0, 1}) {
      for (int head : {0, 1}) {
        for (int i = 0; i < 32; ++i) {
          among.cache_element(0, position, part, head, i) = alone.cache_element(0, position, part, head, i);
        }
      }
    }
  }
  EXPECT(run(alone) == run(among));
}

TEST("decode: drafts behind a last token, whole and split, in groups that end within a tile") {
  for (int split_keys : {64, 512}) {
    test_decode<bf16>({"drafts", {4, 0, 1, 6}, {66, 3, 70, 6}, 6, 2, 32}, split_keys);
    test_decode<f16>({"drafts of twenty heads", {3, 5}, {130, 40}, 20, 1, 16}, split_keys);
    test_decode<bf16>({"many drafts", {40}, {200}, 3, 1, 64, true, 0, 0, false, true}, split_keys);
    test_decode<bf16>({"drafts, window", {5, 17}, {140, 80}, 4, 4, 32, true, 40, 20.0f, true}, split_keys);
  }
  AttentionCase c = {"drafts of a stream", {9, 20}, {44, 200}, 4, 2, 32, true, 32, 0, true};
  c.sinks = 4;
  test_decode<bf16>(c, 64);
  c.sink_logits = true;
  test_decode<f16>(c, 128);
  test_decode<bf16>({"drafts, wide heads", {3}, {75}, 4, 2, 256}, 64);
}

/// Each row of a sequence alone, with the keys up to its own position, against all of them at once.
template <class T>
void test_rows_alone(const AttentionCase& c, int split_keys, int drafts) {
  AttentionInputs<T> inputs(c);
  DeviceArray<float> outputs("partial outputs", size_t(inputs.tokens * c.query_heads * 8 * c.dimension));
  DeviceArray<float> log_sums("partial log sums", size_t(inputs.tokens * c.query_heads * 8));
  simt::Stream stream;
  const AttentionArguments together = inputs.arguments();
  EXPECT(attention_decode(&stream, together, {split_keys, outputs.data(), log_sums.data()}) == 0);
  // With the log sums: a factor of the output and of its sum of weights would show nowhere else.
  const std::vector<unsigned char> expected = inputs.results();
  std::memset(inputs.output->data(), 0xff, inputs.output->size() * sizeof(T));
  std::memset(inputs.log_sums->data(), 0xff, inputs.log_sums->size() * sizeof(float));
  DeviceArray<int32_t> starts("one row", 2), contexts("its keys", 1);
  for (int row = 0; row < drafts; ++row) {
    starts[0] = row, starts[1] = row + 1;
    contexts[0] = c.contexts[0] - drafts + 1 + row;
    AttentionArguments alone = together;
    alone.max_queries = 1, alone.max_context = contexts[0];
    alone.query_starts = starts.data(), alone.context_lengths = contexts.data();
    EXPECT(attention_decode(&stream, alone, {split_keys, outputs.data(), log_sums.data()}) == 0);
  }
  EXPECT(inputs.results() == expected);
}

TEST("decode gives a row the same bits whatever other rows its sequence has") {
  for (int split_keys : {64, 512}) {
    // Rows on both sides of the edge of a part, and of a warp's sixteen keys.
    test_rows_alone<bf16>({"parts", {9}, {132}, 4, 2, 32}, split_keys, 9);
    // Only some rows have a second part.
    test_rows_alone<bf16>({"first part", {5}, {66}, 4, 2, 32}, split_keys, 5);
    test_rows_alone<f16>({"first keys", {20}, {20}, 3, 1, 64}, split_keys, 20);
    test_rows_alone<bf16>({"window", {12}, {150}, 6, 2, 32, true, 50, 0, true, true}, split_keys, 12);
    AttentionCase c = {"stream", {10}, {60}, 4, 2, 32, true, 48};
    c.sinks = 5;
    test_rows_alone<bf16>(c, split_keys, 10);
  }
}

TEST("decode: shapes without a kernel are refused") {
  AttentionArguments arguments = {};
  arguments.head_dimension = 64;
  arguments.key_heads = arguments.query_heads = 1;
  EXPECT(attention_decode(nullptr, arguments, {100, nullptr, nullptr}) == invalid_arguments);
  EXPECT(attention_decode(nullptr, arguments, {0, nullptr, nullptr}) == invalid_arguments);
  arguments.max_queries = 2;
  EXPECT(attention_decode(nullptr, arguments, {64, nullptr, nullptr}) == invalid_arguments);
  arguments.causal = true;
  arguments.head_dimension = 20;
  EXPECT(attention_decode(nullptr, arguments, {64, nullptr, nullptr}) == invalid_arguments);
}

}  // namespace
}  // namespace gpu::test

// Prefill attention over the paged cache against the double precision reference.

#include <cstring>

#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

template <class T>
void test_prefill(const AttentionCase& c) {
  EXPECT(expect_attention<T>(c, attention_prefill).bank_conflicts == 0);
}

TEST("prefill: one sequence, whole tiles and tails, causal") {
  test_prefill<bf16>({"one row", {1}, {1}, 1, 1, 64});
  test_prefill<bf16>({"one tile", {64}, {64}, 1, 1, 64});
  test_prefill<f16>({"tails", {65}, {65}, 1, 1, 64});
  test_prefill<bf16>({"no rows", {0}, {5}, 1, 1, 64});
}

TEST("prefill: fewer rows than keys, as in chunked prompts and after a cached prefix") {
  test_prefill<bf16>({"chunk", {37}, {150}, 2, 1, 64});
  test_prefill<f16>({"second tile starts masked", {70}, {129}, 1, 1, 32});
  test_prefill<bf16>({"decode-like", {1}, {100}, 4, 2, 64});
}

TEST("prefill: several sequences, several key heads, grouped queries") {
  test_prefill<bf16>({"batch", {33, 0, 5, 70}, {60, 12, 5, 70}, 4, 2, 64});
  test_prefill<f16>({"batch of three heads", {17, 3}, {17, 40}, 6, 3, 32});
}

TEST("prefill: rows that see no key give zeros") {
  test_prefill<bf16>({"no visible key", {9}, {3}, 2, 2, 32});
}

TEST("prefill: shapes without a kernel are refused") {
  for (int dimension : {0, 4, 12, 264}) {
    AttentionArguments arguments = {};
    arguments.head_dimension = dimension;
    arguments.key_heads = arguments.query_heads = 1;
    EXPECT(attention_prefill(nullptr, arguments) == invalid_arguments);
  }
  AttentionArguments uneven = {};
  uneven.head_dimension = 64;
  uneven.key_heads = 2;
  uneven.query_heads = 3;
  EXPECT(attention_prefill(nullptr, uneven) == invalid_arguments);
}

TEST("prefill: every head dimension, padded ones too") {
  for (int dimension : {8, 16, 24, 32, 40, 64, 72, 80, 88, 96, 112, 128}) {
    test_prefill<bf16>({"head dimension", {21}, {75}, 2, 2, dimension});
  }
  test_prefill<f16>({"f16 80", {21}, {75}, 2, 1, 80});
  test_prefill<f16>({"f16 96", {21}, {75}, 2, 1, 96});
  test_prefill<f16>({"f16 128", {66}, {75}, 2, 1, 128});
  test_prefill<f16>({"f16 16", {21}, {75}, 2, 1, 16});
}

TEST("prefill: wide heads") {
  for (int dimension : {136, 192, 256}) test_prefill<bf16>({"wide", {21}, {75}, 2, 1, dimension});
  test_prefill<f16>({"f16 256", {66, 5}, {70, 5}, 2, 2, 256});
}

TEST("prefill: learned sinks, also where no key is visible") {
  test_prefill<bf16>({"sinks", {70}, {140}, 6, 2, 32, true, 0, 0, false, true});
  test_prefill<f16>({"sinks, window and softcap", {40}, {130}, 3, 3, 64, true, 50, 20.0f, false, true});
  test_prefill<bf16>({"only a sink", {9}, {3}, 3, 3, 32, true, 0, 0, false, true});
}

/// Of streams: the first positions and a window.
template <class T>
void test_stream(const AttentionCase& shape, int sinks) {
  AttentionCase c = shape;
  c.sinks = sinks;
  test_prefill<T>(c);
}

TEST("prefill: streams see the first positions and a window") {
  // Rows that leave keys behind beside some that do not; in one block, and from the second on.
  test_stream<bf16>({"leaving", {60}, {60}, 4, 2, 32, true, 20}, 5);
  test_stream<f16>({"first block leaves nothing", {140}, {140}, 2, 1, 64, true, 61}, 3);
  test_stream<bf16>({"a row, and all, just left", {1, 2, 33}, {37, 38, 69}, 2, 2, 16, true, 32}, 4);
  test_stream<bf16>({"none has left", {5, 0, 3}, {36, 90, 3}, 2, 1, 32, true, 32}, 4);
  // The window has moved on, but as far as the sinks only: the first row, and all of them, see every key.
  test_stream<f16>({"the window begins among the sinks", {5, 3}, {39, 36}, 2, 2, 32, true, 32}, 4);
  // The sinks end within their tile, with it, and behind it; in the tile that the window begins in.
  test_stream<f16>({"sinks over two tiles", {70}, {300}, 4, 2, 32, true, 40, 0, true}, 70);
  test_stream<bf16>({"a whole tile of sinks", {20}, {200}, 2, 1, 64, true, 33, 20.0f, true, true}, 64);
  test_stream<bf16>({"sinks beside the window", {9}, {50}, 2, 1, 32, true, 20}, 17);
  for (int dimension : {8, 72, 112, 136, 256}) {
    test_stream<bf16>({"stream, head dimension", {21}, {150}, 2, 1, dimension, true, 30}, 40);
  }
  AttentionCase c = {"strides", {9, 40}, {100, 40}, 4, 2, 32, true, 24};
  c.padding = 8;
  test_stream<f16>(c, 4);
}

TEST("prefill of a stream gives a row the same bits however its prompt is cut") {
  AttentionCase c = {"whole", {100}, {100}, 2, 1, 32, true, 24, 0, true, true};
  c.sinks = 6;
  AttentionInputs<bf16> inputs(c);
  const AttentionArguments whole = inputs.arguments();
  simt::Stream stream;
  EXPECT(attention_prefill(&stream, whole) == 0);
  const auto expected = inputs.results();
  std::memset(inputs.output->data(), 0xff, inputs.output->size() * sizeof(bf16));
  DeviceArray<int32_t> starts("a piece", 2), contexts("its keys", 1);
  for (int first = 0, rows = 1; first < 100; first += rows, rows = 7 + rows % 31) {
    rows = std::min(rows, 100 - first);
    starts[0] = first, starts[1] = contexts[0] = first + rows;
    AttentionArguments piece = whole;
    piece.max_queries = rows, piece.max_context = contexts[0];
    piece.query_starts = starts.data(), piece.context_lengths = contexts.data();
    EXPECT(attention_prefill(&stream, piece) == 0);
  }
  EXPECT(inputs.results() == expected);
}

TEST("prefill: four heads of 256 rows, once, for --times") {
  AttentionInputs<bf16> inputs({"to be timed", {256}, {256}, 4, 4, 64});
  simt::Stream stream;
  EXPECT(attention_prefill(&stream, inputs.arguments()) == 0);
  EXPECT(stream.statistics.mma > 0);
}

TEST("prefill: encoders see all keys") {
  test_prefill<bf16>({"encoder", {70, 9}, {70, 9}, 2, 2, 32, false});
  test_prefill<f16>({"encoder with fewer rows", {3}, {90}, 2, 1, 64, false});
}

TEST("prefill: sliding windows of one key, within a tile and over several") {
  for (int window : {1, 17, 64, 100}) {
    test_prefill<bf16>({"window", {90}, {200}, 1, 1, 32, true, window});
  }
  test_prefill<f16>({"window, batch", {90, 20}, {150, 20}, 2, 1, 16, true, 30});
}

TEST("prefill: ALiBi, softcap, and both with a window") {
  test_prefill<bf16>({"alibi", {70}, {140}, 3, 1, 32, true, 0, 0, true});
  test_prefill<f16>({"softcap", {40}, {100}, 2, 1, 64, true, 0, 5.0f});
  test_prefill<bf16>({"all", {40}, {130}, 2, 2, 64, true, 50, 20.0f, true});
  test_prefill<bf16>({"encoder with alibi", {40}, {40}, 2, 2, 16, false, 0, 0, true});
}

}  // namespace
}  // namespace gpu::test

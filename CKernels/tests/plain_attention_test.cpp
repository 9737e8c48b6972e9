// Attention in plain loops against the double precision reference.

#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

/// Prefill of any rows; decode of those cases that have single rows only, with the same bits.
template <class T>
void test_plain(const AttentionCase& c) {
  expect_attention<T>(c, attention_plain_prefill);
  if (std::any_of(c.queries.begin(), c.queries.end(), [](int rows) { return rows > 1; })) return;
  expect_attention<T>(c, attention_plain_decode);
  AttentionInputs<T> inputs(c);
  simt::Stream stream;
  EXPECT(attention_plain_prefill(&stream, inputs.arguments()) == 0);
  const auto bytes = inputs.results();
  EXPECT(attention_plain_decode(&stream, inputs.arguments()) == 0);
  EXPECT(inputs.results() == bytes);
}

TEST("plain attention: head dimensions that no vector divides, and the widest") {
  for (int dimension : {1, 4, 12, 20, 33, 100, 255, 256}) {
    test_plain<bf16>({"rows", {3}, {75}, 2, 1, dimension});
    test_plain<f16>({"single rows", {1, 1}, {40, 3}, 2, 2, dimension});
  }
}

TEST("plain attention: one key, whole runs and tails, empty rows, several heads") {
  test_plain<bf16>({"one row", {1}, {1}, 1, 1, 20});
  test_plain<f16>({"whole runs", {32}, {64}, 1, 1, 20});
  test_plain<bf16>({"batch", {9, 0, 5, 33}, {60, 12, 5, 70}, 4, 2, 20});
  test_plain<f16>({"three heads", {1, 0, 1}, {33, 9, 90}, 6, 3, 12});
  test_plain<bf16>({"no rows", {0}, {5}, 1, 1, 20});
  test_plain<bf16>({"no visible key", {9}, {3}, 2, 2, 20});
  test_plain<bf16>({"encoder", {20, 9}, {40, 9}, 2, 2, 20, false});
}

TEST("plain attention: rows and pointers of any alignment") {
  AttentionCase c = {"unaligned", {3, 1}, {40, 20}, 4, 2, 20};
  for (int padding : {0, 1, 4}) {
    for (int offset : {0, 1}) {
      c.padding = padding;
      c.offset = offset;
      expect_attention<bf16>(c, attention_plain_prefill);
    }
  }
}

TEST("plain attention: windows, softcap, ALiBi and learned sinks") {
  for (int window : {1, 17, 40}) test_plain<bf16>({"window", {40}, {100}, 1, 1, 12, true, window});
  test_plain<f16>({"softcap", {9}, {60}, 2, 1, 20, true, 0, 5.0f});
  test_plain<bf16>({"alibi", {1, 1}, {90, 20}, 6, 2, 20, true, 0, 0, true});
  test_plain<bf16>({"all", {20}, {90}, 3, 3, 20, true, 50, 20.0f, true, true});
  test_plain<bf16>({"only a sink", {9}, {3}, 3, 3, 12, true, 0, 0, false, true});
}

TEST("plain attention: streams see the first positions and a window") {
  auto test = [](const char* name, std::vector<int> queries, std::vector<int> contexts, int window, int sinks,
                 bool alibi = false) {
    AttentionCase c = {name, queries, contexts, 4, 2, 20, true, window, 0, alibi};
    c.sinks = sinks;
    test_plain<bf16>(c);
    c.sink_logits = true;
    c.padding = 3;
    test_plain<f16>(c);
  };
  test("stream", {40, 1, 1, 1}, {100, 10, 36, 37}, 32, 4);
  test("rows that leave keys behind beside others", {60}, {60}, 20, 5, true);
  test("many sinks", {3}, {200}, 33, 70, true);
  test("sinks beside the window", {1}, {50}, 20, 17);
}

TEST("plain attention: what means nothing is refused") {
  AttentionInputs<bf16> inputs({"refused", {3}, {5}, 2, 2, 20});
  const AttentionArguments good = inputs.arguments();
  EXPECT(attention_plain_supports(good));
  auto refuses = [&](auto change) {
    AttentionArguments bad = good;
    change(bad);
    EXPECT(!attention_plain_supports(bad));
    EXPECT(attention_plain_prefill(nullptr, bad) == invalid_arguments);
    EXPECT(attention_plain_decode(nullptr, bad) == invalid_arguments);
  };
  refuses([](auto& a) { a.head_dimension = 0; });
  refuses([](auto& a) { a.head_dimension = 257; });
  refuses([](auto& a) { a.query_heads = 3; });
  refuses([](auto& a) { a.key_heads = 0; });
  refuses([](auto& a) { a.sinks = 4; });
  refuses([](auto& a) { a.sinks = -1, a.window = 4, a.sink_query = a.query; });
  refuses([](auto& a) { a.sinks = 4, a.sink_query = a.query; });
  refuses([](auto& a) { a.sinks = 4, a.window = 8; });
}

}  // namespace
}  // namespace gpu::test

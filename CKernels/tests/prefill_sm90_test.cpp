// Prefill attention with TMA and wgmma against the double precision reference.

#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

template <class T>
void test_prefill(const AttentionCase& c) {
  expect_attention<T>(c, attention_prefill_sm90);
}

TEST("prefill sm90: one sequence, whole tiles and tails, causal") {
  test_prefill<bf16>({"one row", {1}, {1}, 1, 1, 64});
  test_prefill<f16>({"one tile", {128}, {128}, 1, 1, 64});
  test_prefill<bf16>({"no rows", {0}, {5}, 1, 1, 64});
}

TEST("prefill sm90: fewer rows than keys, over several tiles") {
  test_prefill<bf16>({"chunk", {70}, {300}, 1, 1, 64});
  test_prefill<f16>({"second tile starts masked", {130}, {270}, 1, 1, 32});
}

TEST("prefill sm90: more tiles than stages") { test_prefill<bf16>({"five tiles", {20}, {600}, 1, 1, 32}); }

TEST("prefill sm90: several sequences, several key heads, grouped queries") {
  test_prefill<bf16>({"batch", {33, 0, 5, 70}, {60, 12, 5, 140}, 4, 2, 64});
}

TEST("prefill sm90: rows that see no key give zeros") {
  test_prefill<bf16>({"no visible key", {9}, {3}, 2, 2, 32});
}

TEST("prefill sm90: every head dimension, padded ones too") {
  for (int dimension : {8, 72, 80, 96, 104, 128})
    test_prefill<bf16>({"head dimension", {21}, {139}, 1, 1, dimension});
  test_prefill<f16>({"f16 96", {66}, {275}, 1, 1, 96});
  test_prefill<f16>({"f16 128", {66}, {150}, 1, 1, 128});
  test_prefill<bf16>({"256", {66}, {150}, 2, 1, 256});
  test_prefill<f16>({"f16 136", {21}, {75}, 1, 1, 136});
}

TEST("prefill sm90: encoders see all keys") {
  test_prefill<bf16>({"encoder", {70, 9}, {140, 9}, 1, 1, 32, false});
}

TEST("prefill sm90: sliding windows of one key, within a tile and over several") {
  for (int window : {1, 17, 200}) test_prefill<bf16>({"window", {90}, {300}, 1, 1, 32, true, window});
}

TEST("prefill sm90: ALiBi and softcap with a window") {
  test_prefill<bf16>({"all", {40}, {150}, 2, 2, 64, true, 135, 20.0f, true});
}

TEST("prefill sm90: sinks, also where no key is visible") {
  test_prefill<bf16>({"sinks", {9, 70}, {3, 140}, 2, 1, 64, true, 0, 0, false, true});
}

TEST("prefill sm90: what is not supported is refused") {
  AttentionInputs<bf16> inputs({"refused", {3}, {5}, 2, 2, 64});
  const AttentionArguments good = inputs.arguments();
  EXPECT(attention_prefill_sm90_supports(good) && attention_prefill_sm90(nullptr, good) == 0);
  auto refuses = [&](auto change) {
    AttentionArguments bad = good;
    change(bad);
    EXPECT(!attention_prefill_sm90_supports(bad) &&
           attention_prefill_sm90(nullptr, bad) == invalid_arguments);
  };
  refuses([](auto& a) { a.head_dimension = 12; });
  refuses([](auto& a) { a.head_dimension = 264; });
  refuses([](auto& a) { a.query_heads = 3; });
  refuses([](auto& a) { a.query = static_cast<const bf16*>(a.query) + 4; });
  refuses([](auto& a) { a.cache = static_cast<const bf16*>(a.cache) + 4; });
  refuses([](auto& a) { a.query_stride = 132; });
}

}  // namespace
}  // namespace gpu::test

// Attention over a cache of 8-bit codes. Scales are powers of two, so that what the codes stand for are
// elements too, and the reference is that of a cache of elements.

#include <cmath>

#include "device/codes8.h"
#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

template <class T>
struct CodeInputs {
  CodeInputs(const AttentionCase& c, CacheCodes kind)
      : inputs(c),
        kind(kind),
        cache("cache of codes", size_t(inputs.pages * 2 * c.key_heads * 16 * (c.dimension + 4))) {
    simt::Random random(71);
    const bool is_float8 = kind == CacheCodes::float8;
    for (size_t s = 0; s < c.contexts.size(); ++s) {
      for (int position = 0; position < c.contexts[s]; ++position) {
        for (int part : {0, 1}) {
          for (int head = 0; head < c.key_heads; ++head) {
            const float scale = std::exp2(-float(random.below(4)) - (is_float8 ? 8.0f : 6.0f));
            for (int i = 0; i < c.dimension; ++i) {
              uint32_t code = random.below(256);
              if (is_float8 ? code % 128 == 127 : code == 128) code = 5;
              codes(int(s), position, part, head)[i] = uint8_t(code);
              inputs.cache_element(int(s), position, part, head, i) =
                  from_float<T>(code_value(code, is_float8) * scale);
            }
            std::memcpy(scale_of(int(s), position, part, head), &scale, 4);
          }
        }
      }
    }
  }

  unsigned char* record(int sequence, int position, int part, int head) {
    const AttentionCase& c = inputs.shape;
    const int block = inputs.tables[size_t(sequence * inputs.table_stride + position / 16)];
    return cache.data() + size_t((block * 2 + part) * c.key_heads + head) * size_t(16 * (c.dimension + 4));
  }
  unsigned char* codes(int sequence, int position, int part, int head) {
    return record(sequence, position, part, head) + position % 16 * inputs.shape.dimension;
  }
  unsigned char* scale_of(int sequence, int position, int part, int head) {
    return record(sequence, position, part, head) + 16 * inputs.shape.dimension + position % 16 * 4;
  }
  AttentionArguments arguments() {
    AttentionArguments a = inputs.arguments();
    a.cache = cache.data();
    a.codes = kind;
    return a;
  }

  AttentionInputs<T> inputs;
  CacheCodes kind;
  DeviceArray<unsigned char> cache;
};

template <class T>
void expect_attention(CodeInputs<T>& codes, const std::function<Status(Stream)>& run) {
  AttentionInputs<T>& inputs = codes.inputs;
  const AttentionCase& c = inputs.shape;
  auto statistics = expect_same_bits(c.name, run, [&] {
    auto bytes = inputs.output->bytes(), more = inputs.log_sums->bytes();
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  });
  EXPECT(statistics.bank_conflicts == 0);
  const AttentionReference expected = reference(inputs);
  expect_close(c.name, *inputs.output, expected.output, expected.bound);
  std::vector<double> bound(expected.log_sums.size(), 1e-4 + 2.0 * c.softcap * 0x1p-11);
  expect_close(std::string(c.name) + " log sums", *inputs.log_sums, expected.log_sums, bound);
}

template <class T>
void test_decode(const AttentionCase& c, CacheCodes kind, int split_keys) {
  CodeInputs<T> codes(c, kind);
  const AttentionArguments arguments = codes.arguments();
  const size_t splits = size_t((arguments.max_context + split_keys - 1) / split_keys);
  const size_t slots = size_t(arguments.sequences) * size_t(c.query_heads) * splits;
  DeviceArray<float> outputs("partial outputs", slots * size_t(c.dimension));
  DeviceArray<float> log_sums("partial log sums", slots);
  const DecodeWorkspace workspace = {split_keys, outputs.data(), log_sums.data()};
  expect_attention<T>(codes, [&](Stream stream) { return attention_decode(stream, arguments, workspace); });
}

template <class T>
void test_prefill(const AttentionCase& c, CacheCodes kind) {
  CodeInputs<T> codes(c, kind);
  const AttentionArguments arguments = codes.arguments();
  expect_attention<T>(codes, [&](Stream stream) { return attention_prefill(stream, arguments); });
}

TEST("code cache: decode, whole and split, with tails and several heads") {
  test_decode<bf16>({"int8", {1, 1}, {200, 3}, 4, 2, 64}, CacheCodes::int8, 64);
  test_decode<f16>({"float8", {1, 1}, {65, 129}, 6, 3, 32}, CacheCodes::float8, 128);
  test_decode<bf16>({"no key", {1, 0, 1}, {0, 5, 16}, 2, 2, 16}, CacheCodes::int8, 64);
  test_decode<f16>({"int8 of 128", {1}, {75}, 2, 1, 128}, CacheCodes::int8, 64);
  test_decode<bf16>({"float8 of 80", {1}, {75}, 4, 2, 80}, CacheCodes::float8, 64);
  test_decode<bf16>({"float8 of 256", {1, 1}, {90, 31}, 3, 1, 256}, CacheCodes::float8, 128);
}

TEST("code cache: wide heads in float16") {
  test_decode<f16>({"int8 of 256", {1}, {70}, 2, 1, 256}, CacheCodes::int8, 64);
  test_prefill<f16>({"int8 of 256", {20}, {70}, 2, 1, 256}, CacheCodes::int8);
}

TEST("code cache: decode with windows, ALiBi and softcap") {
  test_decode<bf16>({"window", {1}, {200}, 2, 1, 32, true, 40}, CacheCodes::int8, 64);
  test_decode<f16>({"all", {1}, {130}, 4, 2, 64, true, 90, 20.0f, true}, CacheCodes::float8, 64);
}

TEST("code cache: prefill, with tails and several heads") {
  test_prefill<bf16>({"int8", {7, 70}, {7, 100}, 4, 2, 64}, CacheCodes::int8);
  test_prefill<f16>({"float8", {33, 1}, {40, 129}, 3, 3, 32}, CacheCodes::float8);
  test_prefill<f16>({"int8 of 128", {20}, {75}, 2, 1, 128}, CacheCodes::int8);
  test_prefill<bf16>({"float8 of 96", {20}, {75}, 4, 2, 96}, CacheCodes::float8);
  test_prefill<bf16>({"float8 of 256", {66}, {70}, 2, 1, 256}, CacheCodes::float8);
}

TEST("code cache: prefill with windows, ALiBi and softcap") {
  test_prefill<bf16>({"window", {60}, {200}, 2, 1, 32, true, 40}, CacheCodes::int8);
  test_prefill<f16>({"all", {30}, {130}, 4, 2, 64, true, 90, 20.0f, true}, CacheCodes::float8);
}

TEST("code cache: streams see the first positions and a window") {
  auto stream = [](const char* name, std::vector<int> queries, std::vector<int> contexts, int window,
                   int sinks) {
    AttentionCase c = {name, queries, contexts, 4, 2, 32, true, window, 0, true};
    c.sinks = sinks;
    return c;
  };
  test_prefill<bf16>(stream("prompts", {60, 9}, {60, 150}, 20, 5), CacheCodes::int8);
  test_prefill<f16>(stream("many sinks", {20}, {200}, 30, 70), CacheCodes::float8);
  test_decode<bf16>(stream("single rows", {1, 1}, {150, 24}, 20, 5), CacheCodes::int8, 64);
  test_decode<f16>(stream("many sinks, split", {1}, {200}, 30, 70), CacheCodes::float8, 128);
}

TEST("code cache: positions before the window may hold anything") {
  for (bool prefills : {false, true}) {
    CodeInputs<bf16> codes({"given away", {prefills ? 20 : 1}, {100}, 2, 1, 32, true, 24}, CacheCodes::int8);
    const float nan = std::nanf("");
    for (int position = 0; position < 100 - (prefills ? 20 : 1) - 24; ++position) {
      for (int part : {0, 1}) std::memcpy(codes.scale_of(0, position, part, 0), &nan, 4);
    }
    const AttentionArguments arguments = codes.arguments();
    DeviceArray<float> partial("partial outputs", 2 * 2 * 32), sums("partial log sums", 4);
    expect_attention<bf16>(codes, [&](Stream stream) {
      return prefills ? attention_prefill(stream, arguments)
                      : attention_decode(stream, arguments, {64, partial.data(), sums.data()});
    });
  }
}

TEST("code cache: heads that are no multiple of 16 are refused") {
  AttentionArguments arguments = {};
  arguments.codes = CacheCodes::int8;
  arguments.key_heads = arguments.query_heads = 1;
  arguments.head_dimension = 40;
  EXPECT(attention_prefill(nullptr, arguments) == invalid_arguments);
  EXPECT(attention_decode(nullptr, arguments, {64, nullptr, nullptr}) == invalid_arguments);
  EXPECT(attention_plain_prefill(nullptr, arguments) == invalid_arguments);
  EXPECT(!attention_prefill_sm90_supports(arguments));
}

}  // namespace
}  // namespace gpu::test

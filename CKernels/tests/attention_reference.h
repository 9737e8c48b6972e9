// Attention in plain loops and double precision, with the error that each output may have.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attention/arguments.h"
#include "tests/support.h"

namespace gpu::test {

/// One shape of the test matrix.
struct AttentionCase {
  const char* name;
  /// Query rows and keys of each sequence.
  std::vector<int> queries;
  std::vector<int> contexts;
  int query_heads;
  int key_heads;
  int dimension;
  bool causal = true;
  int window = 0;
  float softcap = 0;
  bool alibi = false;
  bool sink_logits = false;
  /// Positions at the start that every row sees.
  int sinks = 0;
  /// Elements of other memory after each query row.
  int padding = 0;
  /// Elements from an aligned address to the first query, output and key.
  int offset = 0;
};

/// Inputs of a case on the device: pages in random order among others that stay poisoned, as do the places
/// after the last key of a sequence. Pages that no row of a sequence sees have been given away: their places
/// in the table name a poisoned one.
template <class T>
struct AttentionInputs {
  explicit AttentionInputs(const AttentionCase& c);

  /// Component `i` of the key (part 0) or value (part 1) of a position.
  T& cache_element(int sequence, int position, int part, int key_head, int i);
  /// Whether a row at `position` sees a key, and whether as one of the sinks that it has left behind.
  bool sees(int sequence, int position, int key) const;
  bool meets_as_sink(int position, int key) const;
  AttentionArguments arguments();
  /// What a launch gave, for comparing bits.
  std::vector<unsigned char> results() const;

  AttentionCase shape;
  int tokens = 0;
  int table_stride = 0;
  int pages = 0;
  std::vector<int32_t> starts = {0};
  std::vector<int32_t> tables;
  /// Elements from one query row to the next.
  int query_step = 0;
  std::unique_ptr<DeviceArray<T>> query, sink_query, output, cache;
  std::unique_ptr<DeviceArray<int32_t>> query_starts, contexts, block_tables;
  std::unique_ptr<DeviceArray<float>> slopes, log_sums, sink_logits;
};

struct AttentionReference {
  std::vector<double> output, bound, log_sums;
};

template <class T>
AttentionReference reference(AttentionInputs<T>& inputs);

using AttentionLaunch = std::function<Status(Stream, const AttentionArguments&)>;

/// Runs a case in every way: the same bits each time, within the bound of the reference. Returns the
/// statistics of one run.
template <class T>
simt::Statistics expect_attention(const AttentionCase& c, const AttentionLaunch& launch) {
  AttentionInputs<T> inputs(c);
  const AttentionArguments arguments = inputs.arguments();
  auto statistics = expect_same_bits(
      c.name, [&](Stream stream) { return launch(stream, arguments); }, [&] { return inputs.results(); });
  AttentionReference expected = reference(inputs);
  expect_close(c.name, *inputs.output, expected.output, expected.bound);
  std::vector<double> bound(expected.log_sums.size(), 1e-4 + 2.0 * c.softcap * 0x1p-11);
  expect_close(std::string(c.name) + " log sums", *inputs.log_sums, expected.log_sums, bound);
  return statistics;
}

}  // namespace gpu::test

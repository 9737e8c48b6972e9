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
  bool sinks = false;
};

/// Inputs of a case on the device: pages in random order among others that stay poisoned, as do the places
/// after the last key of a sequence.
template <class T>
struct AttentionInputs {
  explicit AttentionInputs(const AttentionCase& c);

  /// Component `i` of the key (part 0) or value (part 1) of a position.
  T& cache_element(int sequence, int position, int part, int key_head, int i);
  AttentionArguments arguments();

  AttentionCase shape;
  int tokens = 0;
  int table_stride = 0;
  int pages = 0;
  std::vector<int32_t> starts = {0};
  std::vector<int32_t> tables;
  std::unique_ptr<DeviceArray<T>> query, output, cache;
  std::unique_ptr<DeviceArray<int32_t>> query_starts, contexts, block_tables;
  std::unique_ptr<DeviceArray<float>> slopes, log_sums, sinks;
};

struct AttentionReference {
  std::vector<double> output, bound, log_sums;
};

template <class T>
AttentionReference reference(AttentionInputs<T>& inputs);

}  // namespace gpu::test

// Low-rank updates: what is refused, and as many launches as the runs need.

#include <algorithm>

#include "elementwise/vectors.h"
#include "gemm/lora.h"

namespace gpu {
namespace {

bool is_legal(const LoraArguments& a, const LoraRun& run) {
  return run.first >= 0 && run.first <= run.end && run.end <= a.m && run.rank > 0 &&
         run.rank % lora_rank_unit == 0 && run.rank <= a.shrunk_stride && allows_vectors(0, run.up);
}

}  // namespace

Status lora(Stream stream, const LoraArguments& a) {
  constexpr int most_columns = 65535 * 64;  // the grid's y axis
  if (a.m < 0 || a.n < 0 || a.k < 0 || a.n > most_columns || a.run_count < 0 || a.input_stride < a.k ||
      a.output_stride < a.n || !allows_vectors(a.shrunk_stride, a.shrunk)) {
    return invalid_arguments;
  }
  for (int i = 0; i < a.run_count; ++i) {
    if (!is_legal(a, a.runs[i])) return invalid_arguments;
  }
  if (a.n == 0) return 0;
  const int64_t pair_bytes = a.float_output ? 8 : 4;
  LoraCall c = {a.m,
                a.n,
                a.k,
                a.input,
                a.input_stride,
                a.shrunk,
                a.shrunk_stride,
                a.output,
                a.output_stride,
                a.float_output,
                reinterpret_cast<uintptr_t>(a.output) % pair_bytes == 0 && a.output_stride % 2 == 0,
                allows_vectors(a.input_stride | a.k, a.input),
                0,
                {}};
  for (int i = 0; i < a.run_count; ++i) c.vectors = c.vectors && allows_vectors(a.k, a.runs[i].down);
  for (int first = 0; first < a.run_count; first += most_lora_runs) {
    int tiles = 0, widest = 0;
    c.run_count = 0;
    for (int i = first; i < std::min(first + most_lora_runs, a.run_count); ++i) {
      if (a.runs[i].first == a.runs[i].end) continue;
      c.runs[c.run_count++] = a.runs[i];
      tiles += lora_tiles(a.runs[i]);
      widest = std::max(widest, a.runs[i].rank);
    }
    if (tiles == 0) continue;
    Status status = lora_shrink(stream, a.type, c, tiles, widest);
    if (status == 0) status = lora_expand(stream, a.type, c, tiles);
    if (status != 0) return status;
  }
  return 0;
}

}  // namespace gpu

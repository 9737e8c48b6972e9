// Attention over the paged cache.

#include "attention/arguments.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

const gpi_kernel_attention& of(const void* arguments) {
  return *static_cast<const gpi_kernel_attention*>(arguments);
}

AttentionArguments attention(const gpi_kernel_attention& a) {
  AttentionArguments result = {};
  result.type = element_type(a.element);
  result.codes = cache_codes(a.codes);
  result.sequences = a.sequences;
  result.query_heads = a.query_heads;
  result.key_heads = a.key_heads;
  result.head_dimension = a.head_dimension;
  result.max_queries = a.max_queries;
  result.max_context = a.max_context;
  result.tokens = a.tokens;
  result.query = a.query;
  result.output = a.output;
  result.cache = a.cache;
  result.block_tables = a.block_tables;
  result.table_stride = a.table_stride;
  result.query_starts = a.query_starts;
  result.context_lengths = a.context_lengths;
  result.scale = a.scale;
  result.softcap = a.softcap;
  result.window = a.window;
  result.causal = a.causal;
  result.alibi_slopes = a.alibi_slopes;
  result.log_sums = a.log_sums;
  result.query_stride = a.query_stride;
  result.sink_logits = a.sink_logits;
  result.sinks = a.sinks;
  result.sink_query = a.sink_query;
  result.sink_query_stride = a.sink_query_stride;
  return result;
}

/// Rows are copied 16 bytes at a time.
bool is_aligned(const gpi_kernel_attention& a) {
  return ((reinterpret_cast<uintptr_t>(a.query) | reinterpret_cast<uintptr_t>(a.output) |
           reinterpret_cast<uintptr_t>(a.cache) | reinterpret_cast<uintptr_t>(a.sink_query)) &
          15) == 0;
}

/// The grid's axes y and z are heads and sequences.
bool fits_a_grid(const gpi_kernel_attention& a) {
  return a.sequences >= 0 && a.sequences <= 65535 && a.query_heads <= 65535 && a.tokens >= 0 &&
         a.max_queries >= 0 && a.max_context >= 0;
}

bool takes_prefill(const void* arguments) {
  const gpi_kernel_attention& a = of(arguments);
  return fits_a_grid(a) && is_aligned(a) && attention_prefill_supports(attention(a));
}

bool takes_prefill_sm90(const void* arguments) {
  return takes_prefill(arguments) && attention_prefill_sm90_supports(attention(of(arguments)));
}

Status launch_prefill_sm90(Stream stream, const Device&, const void* arguments) {
  return attention_prefill_sm90(stream, attention(of(arguments)));
}

/// wgmma takes longer to emulate, and has nothing to gain there.
bool is_real(const Device& device, const void*) { return !device.is_emulated; }

Status launch_prefill(Stream stream, const Device&, const void* arguments) {
  return attention_prefill(stream, attention(of(arguments)));
}

int64_t splits(const gpi_kernel_attention& a) {
  return a.split_keys > 0 ? (int64_t(a.max_context) + a.split_keys - 1) / a.split_keys : 0;
}

/// Of outputs and sums of the parts.
int64_t decode_workspace(const void* arguments) {
  const gpi_kernel_attention& a = of(arguments);
  if (splits(a) <= 1) return 0;
  return int64_t(a.tokens) * a.query_heads * splits(a) * (a.head_dimension + 1) * int64_t(sizeof(float));
}

bool takes_decode(const void* arguments) {
  const gpi_kernel_attention& a = of(arguments);
  return fits_a_grid(a) && is_aligned(a) && a.split_keys > 0 && a.split_keys % 64 == 0 &&
         a.workspace_bytes >= decode_workspace(arguments) && attention_decode_supports(attention(a));
}

/// ```
/// workspace   | outputs [tokens, query_heads, splits, head_dimension] | log sums [tokens, query_heads,
/// splits] |
/// ```
Status launch_decode(Stream stream, const Device&, const void* arguments) {
  const gpi_kernel_attention& a = of(arguments);
  float* outputs = static_cast<float*>(a.workspace);
  const int64_t parts = int64_t(a.tokens) * a.query_heads * splits(a);
  return attention_decode(stream, attention(a),
                          {a.split_keys, outputs, outputs ? outputs + parts * a.head_dimension : nullptr});
}

bool takes_plain(const void* arguments) {
  const gpi_kernel_attention& a = of(arguments);
  return fits_a_grid(a) && attention_plain_supports(attention(a));
}

Status launch_plain_prefill(Stream stream, const Device&, const void* arguments) {
  return attention_plain_prefill(stream, attention(of(arguments)));
}

Status launch_plain_decode(Stream stream, const Device&, const void* arguments) {
  return attention_plain_decode(stream, attention(of(arguments)));
}

}  // namespace

std::vector<Variant> attention_variants() {
  const char* sm90_takes =
      "heads of up to 256 components, a multiple of 8, no codes; rows aligned to 16 bytes; no sinks";
  const char* takes =
      "heads of up to 256 components, a multiple of 8, or 16 for codes of 8 bits; rows aligned to 16 bytes";
  const char* plain_takes = "heads of up to 256 components, no codes; rows anywhere";
  return {
      {{"prefill.sm90", GPI_KERNEL_PREFILL, 90, 90, sixteen_bit, sm90_takes},
       takes_prefill_sm90,
       launch_prefill_sm90,
       nullptr,
       nullptr,
       is_real},
      {{"prefill.mma", GPI_KERNEL_PREFILL, first_capability, last_capability, sixteen_bit, takes},
       takes_prefill,
       launch_prefill},
      {{"prefill.plain", GPI_KERNEL_PREFILL, first_capability, last_capability, sixteen_bit, plain_takes},
       takes_plain,
       launch_plain_prefill},
      {{"decode.mma", GPI_KERNEL_DECODE, first_capability, last_capability, sixteen_bit, takes},
       takes_decode,
       launch_decode,
       decode_workspace},
      {{"decode.plain", GPI_KERNEL_DECODE, first_capability, last_capability, sixteen_bit, plain_takes},
       takes_plain,
       launch_plain_decode},
  };
}

}  // namespace gpu::table

// From logits to tokens.

#include <cstddef>

#include "sampling/arguments.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

// Arrays of these lie on the device as the caller wrote them; the kernels have their own names for them.
template <class Kernel, class Interface>
const Kernel* as(const Interface* elements) {
  static_assert(sizeof(Kernel) == sizeof(Interface) && alignof(Kernel) == alignof(Interface));
  return reinterpret_cast<const Kernel*>(elements);
}

#define SAME_PLACE(Kernel, Interface, member) \
  static_assert(offsetof(Kernel, member) == offsetof(Interface, member))
SAME_PLACE(LogitEdit, gpi_kernel_logit_edit, addend);
SAME_PLACE(SeenToken, gpi_kernel_seen_token, in_output);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, mask);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, first_edit);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, edits);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, first_seen);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, seen);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, repetition);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, frequency);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, presence);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, row);
SAME_PLACE(LogitsRow, gpi_kernel_logits_row, fresh);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, seed);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, choice);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, position);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, temperature);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, top_p);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, min_p);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, top_k);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, row);
SAME_PLACE(SamplingRow, gpi_kernel_sampling_row, target);
#undef SAME_PLACE
static_assert(int(SamplingFailure::not_finite) == GPI_KERNEL_NOT_FINITE &&
              int(SamplingFailure::nothing_allowed) == GPI_KERNEL_NOTHING_ALLOWED);

bool is_row_of_logits(int vocabulary, int64_t stride) {
  return vocabulary > 0 && vocabulary < 1 << 20 && stride >= vocabulary;
}

bool takes_process(const void* arguments) {
  const auto& a = of<gpi_kernel_process_logits>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.input_stride) && a.output_stride >= a.vocabulary;
}

Status launch_process(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_process_logits>(arguments);
  return process_logits(stream, {a.rows, a.vocabulary, a.input, a.input_stride, a.output, a.output_stride,
                                 as<LogitsRow>(a.settings), a.masks, as<LogitEdit>(a.edits),
                                 as<SeenToken>(a.seen), a.tokens, a.broken});
}

bool takes_sample(const void* arguments) {
  const auto& a = of<gpi_kernel_sample>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.stride);
}

Status launch_sample(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_sample>(arguments);
  return sample(stream, {a.rows, a.vocabulary, a.logits, a.stride, as<SamplingRow>(a.settings), a.broken,
                         a.tokens, reinterpret_cast<SamplingFailure*>(a.failures)});
}

bool takes_logprobs(const void* arguments) {
  const auto& a = of<gpi_kernel_logprobs>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.stride) && a.top >= 0 && a.top <= most_logprobs &&
         a.top <= a.vocabulary;
}

Status launch_logprobs(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_logprobs>(arguments);
  return token_logprobs(
      stream, {a.rows, a.vocabulary, a.logits, a.stride, a.sources, a.tokens, a.logprobs, a.ranks, a.top,
               a.top_tokens, a.top_logprobs, reinterpret_cast<SamplingFailure*>(a.failures)});
}

bool takes_feed(const void* arguments) { return of<gpi_kernel_feed>(arguments).count >= 0; }

Status launch_feed(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_feed>(arguments);
  return feed_tokens(stream, {a.count, a.sources, a.sampled, a.tokens});
}

Variant row(const char* name, gpi_kernel_op op, const char* takes, bool (*accepts)(const void*),
            Status (*launch)(Stream, const Device&, const void*)) {
  return {{name, op, first_capability, last_capability, 1u << GPI_KERNEL_FLOAT32, takes}, accepts, launch};
}

}  // namespace

std::vector<Variant> sampling_variants() {
  constexpr const char* vocabularies = "vocabularies below 2^20 tokens";
  return {
      row("process_logits", GPI_KERNEL_PROCESS_LOGITS, vocabularies, takes_process, launch_process),
      row("sample", GPI_KERNEL_SAMPLE, vocabularies, takes_sample, launch_sample),
      row("logprobs", GPI_KERNEL_LOGPROBS, "vocabularies below 2^20 tokens, up to 1024 alternatives",
          takes_logprobs, launch_logprobs),
      row("feed_tokens", GPI_KERNEL_FEED, "every shape", takes_feed, launch_feed),
  };
}

}  // namespace gpu::table

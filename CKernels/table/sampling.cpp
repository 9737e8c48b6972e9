// From logits to tokens.

#include "sampling/arguments.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

bool is_row_of_logits(int vocabulary, int64_t stride) {
  return vocabulary > 0 && vocabulary < 1 << 20 && stride >= vocabulary;
}

bool takes_process(const void* arguments) {
  const auto& a = of<gpi_kernel_process_logits>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.input_stride) && a.output_stride >= a.vocabulary;
}

Status launch_process(Stream stream, const Device&, const void* arguments) {
  return process_logits(stream, of<gpi_kernel_process_logits>(arguments));
}

bool takes_sample(const void* arguments) {
  const auto& a = of<gpi_kernel_sample>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.stride);
}

Status launch_sample(Stream stream, const Device&, const void* arguments) {
  return sample(stream, of<gpi_kernel_sample>(arguments));
}

bool takes_logprobs(const void* arguments) {
  const auto& a = of<gpi_kernel_logprobs>(arguments);
  return a.rows >= 0 && is_row_of_logits(a.vocabulary, a.stride) && a.top >= 0 && a.top <= most_logprobs &&
         a.top <= a.vocabulary;
}

Status launch_logprobs(Stream stream, const Device&, const void* arguments) {
  return token_logprobs(stream, of<gpi_kernel_logprobs>(arguments));
}

bool takes_feed(const void* arguments) { return of<gpi_kernel_feed>(arguments).count >= 0; }

Status launch_feed(Stream stream, const Device&, const void* arguments) {
  return feed_tokens(stream, of<gpi_kernel_feed>(arguments));
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

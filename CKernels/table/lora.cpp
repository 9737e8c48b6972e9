// Low-rank updates.

#include "gemm/lora.h"

#include <vector>

#include "table/variants.h"

namespace gpu::table {
namespace {

const gpi_kernel_lora& of(const void* arguments) { return *static_cast<const gpi_kernel_lora*>(arguments); }

bool takes(const void* arguments) {
  const gpi_kernel_lora& a = of(arguments);
  return (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) && a.run_count >= 0 &&
         (a.run_count == 0 || a.runs) && a.shrunk_stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(a.shrunk) % 16 == 0;
}

Status launch_lora(Stream stream, const Device&, const void* arguments) {
  const gpi_kernel_lora& a = of(arguments);
  std::vector<LoraRun> runs;
  for (int i = 0; i < a.run_count; ++i) {
    const gpi_kernel_lora_run& run = a.runs[i];
    runs.push_back({run.down, run.up, run.first, run.end, run.rank, run.scale});
  }
  return lora(stream, {element_type(a.element), a.rows, a.outputs, a.inputs, a.input, a.input_stride,
                       a.shrunk, a.shrunk_stride, a.output, a.output_stride,
                       a.output_element == GPI_KERNEL_FLOAT32, runs.data(), a.run_count});
}

}  // namespace

std::vector<Variant> lora_variants() {
  return {
      {{"lora.mma", GPI_KERNEL_LOW_RANK, first_capability, last_capability, sixteen_bit,
        "every number of adapters; ranks a multiple of 16"},
       takes,
       launch_lora},
  };
}

}  // namespace gpu::table

// Matrix products with weights.

#include "gemm/arguments.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

const gpi_kernel_linear& of(const void* arguments) {
  return *static_cast<const gpi_kernel_linear*>(arguments);
}

GemmArguments gemm(const gpi_kernel_linear& a) {
  return {element_type(a.element),
          a.rows,
          a.outputs,
          a.inputs,
          a.input,
          a.input_stride,
          a.weight,
          a.weight_stride,
          a.bias,
          a.output,
          a.output_stride,
          a.accumulate,
          a.output_element == GPI_KERNEL_FLOAT32};
}

GemmWorkspace scratch(const gpi_kernel_linear& a) {
  return {static_cast<float*>(a.workspace), a.workspace_bytes / int64_t(sizeof(float))};
}

bool has_legal_strides(const gpi_kernel_linear& a) {
  return (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) && a.rows >= 0 &&
         a.outputs >= 0 && a.inputs >= 0 && a.input_stride >= a.inputs && a.weight_stride >= a.inputs &&
         a.output_stride >= a.outputs;
}

/// Enough for any number of rows.
int64_t sm80_workspace(const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  return gemm_workspace_most(a.outputs, a.inputs) * int64_t(sizeof(float));
}

bool sm80_takes(const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  return has_legal_strides(a) && scratch(a).floats >= gemm_workspace_floats(a.rows, a.outputs, a.inputs);
}

Status launch_sm80(Stream stream, const Device&, const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  return gemm_sm80(stream, gemm(a), scratch(a));
}

bool sm90_takes(const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  return has_legal_strides(a) && gemm_sm90_supports(gemm(a));
}

Status launch_sm90(Stream stream, const Device&, const void* arguments) {
  return gemm_sm90(stream, gemm(of(arguments)));
}

/// Few rows are bound by reading the weight, which blocks along k do better. Where the sm_80 form sums k in
/// parts the bits of a row differ between the two, so the emulation, whose rows must not depend on their
/// number, never mixes them.
bool sm90_is_preferred(const Device& device, const void* arguments) {
  constexpr int fewest_rows = 128;  // not measured
  return !device.is_emulated && of(arguments).rows >= fewest_rows;
}

}  // namespace

std::vector<Variant> linear_variants() {
  return {
      {{"linear.sm90", GPI_KERNEL_LINEAR, 90, 90, sixteen_bit,
        "inputs a multiple of 8, rows aligned to 16 bytes"},
       sm90_takes,
       launch_sm90,
       nullptr,
       nullptr,
       sm90_is_preferred},
      {{"linear.sm80", GPI_KERNEL_LINEAR, first_capability, last_capability, sixteen_bit, "every shape"},
       sm80_takes,
       launch_sm80,
       sm80_workspace},
  };
}

}  // namespace gpu::table

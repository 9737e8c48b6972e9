// Ways of computing that only this build has: products by cuBLASLt.

#include "table/variants.h"

#include "cuda/context.h"

namespace gpu::table {
namespace {

/// Below this many rows a product is bound by reading the weight, which our own kernels do as fast; and the
/// sizes that a step of decoding has keep their bits whatever the library chooses. Not measured.
constexpr int fewest_rows = 512;

const gpi_kernel_linear& of(const void* arguments) {
  return *static_cast<const gpi_kernel_linear*>(arguments);
}

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

/// Large products whose rows start at multiples of 16 bytes; a float32 bias is not among cuBLASLt's epilogues
/// for 16-bit outputs.
bool takes(const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  return a.rows >= fewest_rows && a.outputs > 0 && a.inputs > 0 && !a.bias &&
         (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) &&
         a.input_stride >= a.inputs && a.weight_stride >= a.inputs && a.output_stride >= a.outputs &&
         a.input_stride % 8 == 0 && a.weight_stride % 8 == 0 && a.output_stride % 8 == 0 &&
         is_aligned(a.input) && is_aligned(a.weight) && is_aligned(a.output);
}

Status launch_blas(Stream stream, const Device& device, const void* arguments) {
  const gpi_kernel_linear& a = of(arguments);
  GemmArguments gemm = {};
  gemm.type = element_type(a.element);
  gemm.m = a.rows;
  gemm.n = a.outputs;
  gemm.k = a.inputs;
  gemm.input = a.input;
  gemm.input_stride = a.input_stride;
  gemm.weight = a.weight;
  gemm.weight_stride = a.weight_stride;
  gemm.output = a.output;
  gemm.output_stride = a.output_stride;
  gemm.accumulate = a.accumulate;
  gemm.float_output = a.output_element == GPI_KERNEL_FLOAT32;
  const cudaError_t error = device.context->blas.multiply(stream, gemm);
  if (error != cudaErrorNotSupported) return error;
  // No algorithm for these sizes: ours takes them all.
  return gemm_sm80(stream, gemm,
                   {static_cast<float*>(a.workspace), a.workspace_bytes / int64_t(sizeof(float))});
}

const char* obstacle(const Device& device) {
  const std::string& text = device.context->blas.obstacle();
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

std::vector<Variant> runtime_variants() {
  return {
      {{"linear.cublaslt", GPI_KERNEL_LINEAR, first_capability, last_capability, sixteen_bit,
        "512 rows or more without a bias, rows aligned to 16 bytes"},
       takes,
       launch_blas,
       nullptr,
       obstacle},
  };
}

}  // namespace gpu::table

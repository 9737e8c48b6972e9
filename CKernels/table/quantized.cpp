// Products with quantised weights, and what brings weights and activations into their order.

#include "gemm/w4a16.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

int64_t rounded_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

bool is_legal(const gpi_kernel_weight_format& f) {
  return f.code == GPI_KERNEL_INT4 && f.outputs >= 0 && f.inputs >= 0 &&
         (f.inputs == 0 || (f.group > 0 && (f.group % 16 == 0 || f.group == f.inputs))) &&
         uint32_t(f.scale_element) <= GPI_KERNEL_FLOAT32;
}

ScaleType scale_type(gpi_kernel_element element) {
  if (element == GPI_KERNEL_FLOAT32) return ScaleType::float32;
  return element == GPI_KERNEL_FLOAT16 ? ScaleType::float16 : ScaleType::bfloat16;
}

/// Where the parts of a packed weight lie: codes, then scales, then zeros, each aligned to 256 bytes.
struct PackedParts {
  int64_t scales, zeros, end;

  explicit PackedParts(const gpi_kernel_weight_format& f) {
    const int64_t count = int4_scale_count(f.outputs, f.inputs, f.group);
    scales = rounded_up(int4_code_bytes(f.outputs, f.inputs));
    zeros = scales + rounded_up(count * (f.scale_element == GPI_KERNEL_FLOAT32 ? 4 : 2));
    end = zeros + (f.has_zeros ? rounded_up(count) : 0);
  }
};

bool takes_repack(const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  return is_legal(a.format) && a.element == a.format.scale_element && a.format.has_zeros == bool(a.zeros);
}

Status launch_repack(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const PackedParts parts(f);
  auto* packed = static_cast<unsigned char*>(a.packed);
  return repack_int4(stream, {f.outputs, f.inputs, f.group, a.codes, scale_type(f.scale_element), a.scales,
                              a.zeros, packed, packed + parts.scales,
                              f.has_zeros ? packed + parts.zeros : nullptr});
}

GemmWorkspace scratch(const gpi_kernel_quantized_linear& a) {
  return {static_cast<float*>(a.workspace), a.workspace_bytes / int64_t(sizeof(float))};
}

bool takes_int4(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  return is_legal(f) && a.rows >= 0 &&
         (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) &&
         a.input_stride >= f.inputs && a.output_stride >= f.outputs &&
         scratch(a).floats >= w4a16_workspace_floats(a.rows, f.outputs, f.inputs);
}

int64_t int4_workspace(const void* arguments) {
  const gpi_kernel_weight_format& f = of<gpi_kernel_quantized_linear>(arguments).format;
  return f.code == GPI_KERNEL_INT4 ? w4a16_workspace_most(f.outputs, f.inputs) * int64_t(sizeof(float)) : 0;
}

Status launch_int4(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const PackedParts parts(f);
  const auto* packed = static_cast<const unsigned char*>(a.packed);
  const Int4Weight weight = {f.outputs,
                             f.inputs,
                             f.group,
                             packed,
                             scale_type(f.scale_element),
                             packed + parts.scales,
                             f.has_zeros ? packed + parts.zeros : nullptr};
  return gemm_w4a16(stream,
                    {element_type(a.element), a.rows, weight, a.input, a.input_stride, a.bias, a.output,
                     a.output_stride, a.accumulate, a.output_element == GPI_KERNEL_FLOAT32},
                    scratch(a));
}

bool takes_gather(const void* arguments) {
  const auto& a = of<gpi_kernel_gather_columns>(arguments);
  return a.rows >= 0 && a.width >= 0;
}

Status launch_gather(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_gather_columns>(arguments);
  return gather_columns(stream, {a.rows, a.width, a.order, a.input, a.input_stride, a.output});
}

}  // namespace

int64_t packed_bytes(const gpi_kernel_weight_format* format) {
  return is_legal(*format) ? PackedParts(*format).end : -1;
}

std::vector<Variant> quantized_variants() {
  return {
      {{"quantized_linear.int4", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "4-bit codes, groups a multiple of 16 or one scale an output, zeros that are codes or none"},
       takes_int4,
       launch_int4,
       int4_workspace},
      {{"repack.int4", GPI_KERNEL_REPACK, first_capability, last_capability, any_element,
        "4-bit codes, as quantized_linear.int4"},
       takes_repack,
       launch_repack},
      {{"gather_columns", GPI_KERNEL_GATHER_COLUMNS, first_capability, last_capability, sixteen_bit,
        "every shape"},
       takes_gather,
       launch_gather},
  };
}

}  // namespace gpu::table

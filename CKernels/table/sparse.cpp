// Products with 2:4 sparse weights, and what brings them into their order.

#include <cmath>

#include "sparse/sparse24_w8a8.h"
#include "table/figures.h"
#include "table/rounded_rows.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

int64_t rounded_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

bool is_coded(const gpi_kernel_weight_format& f) { return f.code != GPI_KERNEL_ELEMENTS; }

bool rounds(const gpi_kernel_weight_format& f) { return f.rounding == GPI_KERNEL_ROUND_TO_INT8; }

/// Activations with outliers are for dense codes.
bool is_legal_rounding(const gpi_kernel_weight_format& f) {
  constexpr int deepest = 131071;
  return f.code == GPI_KERNEL_INT8 && !f.has_zeros && f.inputs > 0 && f.inputs <= deepest &&
         (f.group % 64 == 0 || f.group == f.inputs) && std::isinf(f.outlier_threshold) &&
         f.outlier_threshold > 0 && f.activation_scale >= 0 && std::isfinite(f.activation_scale);
}

bool is_legal(const gpi_kernel_weight_format& f) {
  if (f.sparsity != GPI_KERNEL_TWO_OF_FOUR || uint32_t(f.rounding) > GPI_KERNEL_ROUND_TO_INT8 ||
      f.outputs < 0 || f.inputs < 0 || f.inputs % 4 != 0 || (rounds(f) && !is_legal_rounding(f))) {
    return false;
  }
  if (!is_coded(f)) return !f.has_zeros && uint32_t(f.scale_element) <= GPI_KERNEL_FLOAT16;
  return (f.code == GPI_KERNEL_INT4 || f.code == GPI_KERNEL_INT8) &&
         (f.inputs == 0 || (f.group > 0 && (f.group % 32 == 0 || f.group == f.inputs))) &&
         uint32_t(f.scale_element) <= GPI_KERNEL_FLOAT32;
}

WeightCode weight_code(const gpi_kernel_weight_format& f) {
  return f.code == GPI_KERNEL_INT8 ? WeightCode::int8 : WeightCode::int4;
}

ScaleType scale_type(gpi_kernel_element element) {
  if (element == GPI_KERNEL_FLOAT32) return ScaleType::float32;
  return element == GPI_KERNEL_FLOAT16 ? ScaleType::float16 : ScaleType::bfloat16;
}

/// Where the parts of a packed weight lie: what is kept, metadata, scales, zeros, each aligned to 256 bytes.
/// Scales for rounded activations lie as they came.
struct SparseParts {
  int64_t metadata, scales, zeros, end;

  explicit SparseParts(const gpi_kernel_weight_format& f) {
    const int kept = f.inputs / 2;
    const int64_t count = !is_coded(f) ? 0
                          : rounds(f)  ? int64_t(f.outputs) * ((f.inputs + f.group - 1) / f.group)
                                       : packed_scale_count(f.outputs, kept, f.group / 2);
    metadata = rounded_up(!is_coded(f) ? sparse24_value_bytes(f.outputs, f.inputs)
                          : rounds(f)  ? sparse24_int8_bytes(f.outputs, f.inputs)
                                       : packed_code_bytes(weight_code(f), f.outputs, kept));
    scales = metadata + rounded_up(sparse24_metadata_bytes(f.outputs, f.inputs));
    zeros = scales + rounded_up(count * (f.scale_element == GPI_KERNEL_FLOAT32 ? 4 : 2));
    end = zeros + (f.has_zeros ? rounded_up(count) : 0);
  }
};

bool takes_repack(const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  if (!is_legal(f) || !a.mask || a.element != f.scale_element || f.has_zeros != bool(a.zeros)) return false;
  const int64_t kept = f.inputs / 2;
  return is_coded(f) ? a.code_stride >= (kept * code_bits(weight_code(f)) + 7) / 8
                     : a.code_stride == 2 * kept;
}

Status launch_repack(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const SparseParts parts(f);
  auto* packed = static_cast<unsigned char*>(a.packed);
  auto* metadata = reinterpret_cast<uint32_t*>(packed + parts.metadata);
  if (!is_coded(f)) {
    return reorder_sparse24(stream, {f.outputs, f.inputs, a.mask, a.codes, packed, metadata});
  }
  if (rounds(f)) {
    const Status status = reorder_sparse24_int8(
        stream,
        {f.outputs, f.inputs, a.mask, static_cast<const uint8_t*>(a.codes), a.code_stride, packed, metadata});
    if (status != 0) return status;
    const int64_t count = int64_t(f.outputs) * ((f.inputs + f.group - 1) / f.group);
    return copy_halves(stream, a.scales, packed + parts.scales,
                       f.scale_element == GPI_KERNEL_FLOAT32 ? 2 * count : count);
  }
  const Status status = reorder_sparse24(stream, {f.outputs, f.inputs, a.mask, nullptr, nullptr, metadata});
  if (status != 0) return status;
  return repack(stream, {weight_code(f), f.outputs, f.inputs / 2, f.group / 2, a.codes, a.code_stride,
                         scale_type(f.scale_element), a.scales, a.zeros, packed, packed + parts.scales,
                         f.has_zeros ? packed + parts.zeros : nullptr});
}

Sparse24Arguments sparse24(const gpi_kernel_quantized_linear& a) {
  const gpi_kernel_weight_format& f = a.format;
  const SparseParts parts(f);
  const auto* packed = static_cast<const unsigned char*>(a.packed);
  const Sparse24Weight weight = {
      f.outputs,
      f.inputs,
      is_coded(f) ? nullptr : packed,
      reinterpret_cast<const uint32_t*>(packed + parts.metadata),
      {weight_code(f), f.outputs, f.inputs / 2, f.group / 2, packed, scale_type(f.scale_element),
       packed + parts.scales, f.has_zeros ? packed + parts.zeros : nullptr}};
  return {element_type(a.element),
          a.rows,
          weight,
          a.input,
          a.input_stride,
          a.bias,
          a.output,
          a.output_stride,
          a.accumulate,
          a.output_element == GPI_KERNEL_FLOAT32};
}

bool has_legal_operands(const gpi_kernel_quantized_linear& a) {
  return is_legal(a.format) && (is_coded(a.format) || a.format.scale_element == a.element) && a.rows >= 0 &&
         (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) &&
         a.input_stride >= a.format.inputs && a.output_stride >= a.format.outputs;
}

/// Of products that do not round their activations.
bool has_legal_sixteen_bit_operands(const gpi_kernel_quantized_linear& a) {
  return has_legal_operands(a) && !rounds(a.format);
}

GemmWorkspace scratch(const gpi_kernel_quantized_linear& a) {
  return {static_cast<float*>(a.workspace), a.workspace_bytes / int64_t(sizeof(float))};
}

template <bool coded>
bool takes(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return has_legal_sixteen_bit_operands(a) && is_coded(a.format) == coded &&
         scratch(a).floats >= sparse24_workspace_floats(a.rows, a.format.outputs, a.format.inputs);
}

int64_t workspace(const void* arguments) {
  const gpi_kernel_weight_format& f = of<gpi_kernel_quantized_linear>(arguments).format;
  return is_legal(f) && !rounds(f) ? sparse24_workspace_most(f.outputs, f.inputs) * int64_t(sizeof(float))
                                   : 0;
}

Status launch_sparse24(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return gemm_sparse24(stream, sparse24(a), scratch(a));
}

bool takes_sm90(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return has_legal_sixteen_bit_operands(a) && gemm_sparse24_sm90_supports(sparse24(a));
}

Status launch_sm90(Stream stream, const Device&, const void* arguments) {
  return gemm_sparse24_sm90(stream, sparse24(of<gpi_kernel_quantized_linear>(arguments)));
}

/// Of the weight as it is packed.
SparseProduct product_of(const gpi_kernel_quantized_linear& a) {
  const double weights = double(a.format.outputs) * a.format.inputs;
  return {a.rows, a.format.outputs, a.format.inputs, 8.0 * double(SparseParts(a.format).end) / weights};
}

/// Few rows are bound by reading the weight, which blocks along k do better. The emulation, whose rows must
/// not depend on their number, never mixes kernels.
bool sm90_is_preferred(const Device& device, const void* arguments) {
  const SparseProduct product = product_of(of<gpi_kernel_quantized_linear>(arguments));
  return !device.is_emulated &&
         sparse_floor(*device.figures, product, true) < sparse_floor(*device.figures, product, false);
}

/// Scratch memory that a model is not asked for more of, whatever its largest matrix is.
constexpr int64_t most_expanded_bytes = 256 << 20;

int64_t expanded_workspace(const void* arguments) {
  const gpi_kernel_weight_format& f = of<gpi_kernel_quantized_linear>(arguments).format;
  const int64_t bytes =
      is_legal(f) && !rounds(f) ? expanded_sparse24_workspace_bytes(f.outputs, f.inputs) : 0;
  return bytes <= most_expanded_bytes ? bytes : 0;
}

bool takes_expanded(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return has_legal_sixteen_bit_operands(a) &&
         a.workspace_bytes >= expanded_sparse24_workspace_bytes(a.format.outputs, a.format.inputs);
}

Status launch_expanded(Stream stream, const Device& device, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return gemm_expanded_sparse24(stream, sparse24(a), device.capability >= 90 && !device.is_emulated,
                                a.workspace, a.workspace_bytes);
}

/// Where the dense product's floor lies below the sparse one's.
bool expanded_is_preferred(const Device& device, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  if (device.is_emulated || a.format.outputs == 0 || a.format.inputs == 0) return false;
  const SparseProduct product = product_of(a);
  const bool by_wgmma = device.figures->sparse_wgmma > 0 && takes_sm90(arguments);
  return expanded_floor(*device.figures, product) < sparse_floor(*device.figures, product, by_wgmma);
}

bool takes_w8a8(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return has_legal_operands(a) && rounds(a.format) && RoundedRows::fit(a);
}

int64_t w8a8_workspace(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return is_legal(a.format) && rounds(a.format) ? RoundedRows(a.format, a.rows).end : 0;
}

Status launch_w8a8(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const SparseParts parts(f);
  const auto* packed = static_cast<const unsigned char*>(a.packed);
  const RoundedRows rows(f, a.rows);
  const Status status = rows.round(stream, a);
  if (status != 0) return status;
  Sparse24W8A8Arguments sparse = {};
  sparse.gemm = rows.product(a);
  sparse.gemm.scale_type = scale_type(f.scale_element);
  sparse.gemm.scales = packed + parts.scales;
  sparse.packed = packed;
  sparse.metadata = reinterpret_cast<const uint32_t*>(packed + parts.metadata);
  return gemm_sparse24_w8a8(stream, sparse);
}

}  // namespace

int64_t packed_sparse_bytes(const gpi_kernel_weight_format& format) {
  return is_legal(format) ? SparseParts(format).end : -1;
}

std::vector<Variant> sparse_variants() {
  return {
      {{"sparse24.expanded", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "what sparse24 takes, matrices of up to 256 MiB in 16 bits"},
       takes_expanded,
       launch_expanded,
       expanded_workspace,
       nullptr,
       expanded_is_preferred},
      {{"sparse24.sm90", GPI_KERNEL_QUANTIZED_LINEAR, 90, 90, sixteen_bit,
        "inputs a multiple of 128, groups too or one scale an output, rows aligned to 16 bytes"},
       takes_sm90,
       launch_sm90,
       nullptr,
       nullptr,
       sm90_is_preferred},
      {{"sparse24", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "2:4 elements of 16 bits, inputs a multiple of 4"},
       takes<false>,
       launch_sparse24,
       workspace},
      {{"sparse24.codes", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "2:4 codes of 4 and 8 bits, groups a multiple of 32 or one scale an output"},
       takes<true>,
       launch_sparse24,
       workspace},
      {{"sparse24.w8a8", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "2:4 int8 codes and activations rounded to int8, groups a multiple of 64 or one scale an output"},
       takes_w8a8,
       launch_w8a8,
       w8a8_workspace},
      {{"repack.sparse24", GPI_KERNEL_REPACK, first_capability, last_capability, any_element,
        "2:4 elements of 16 bits, and codes of 4 and 8 bits"},
       takes_repack,
       launch_repack},
  };
}

}  // namespace gpu::table

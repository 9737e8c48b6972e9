// Products with quantised weights, and what brings weights and activations into their order.

#include <cmath>

#include "table/rounded_rows.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

int64_t rounded_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

bool rounds(const gpi_kernel_weight_format& f) { return f.rounding != GPI_KERNEL_KEEP_ACTIVATIONS; }

bool is_legal_rounding(const gpi_kernel_weight_format& f) {
  constexpr int deepest = 131071;
  const bool fits = f.rounding == GPI_KERNEL_ROUND_TO_FLOAT8
                        ? f.code == GPI_KERNEL_FLOAT8 && std::isinf(f.outlier_threshold)
                        : f.code == GPI_KERNEL_INT8 && f.inputs <= deepest;
  return fits && !f.has_zeros && f.inputs > 0 && (f.group % 32 == 0 || f.group == f.inputs) &&
         f.outlier_threshold > 0 && f.activation_scale >= 0 && std::isfinite(f.activation_scale);
}

bool is_legal(const gpi_kernel_weight_format& f) {
  if (f.sparsity != GPI_KERNEL_EVERY_INPUT) return false;
  if (uint32_t(f.rounding) > GPI_KERNEL_ROUND_TO_FLOAT8 || (rounds(f) && !is_legal_rounding(f))) return false;
  return uint32_t(f.code) <= GPI_KERNEL_FLOAT8 && !(f.code == GPI_KERNEL_FLOAT8 && f.has_zeros) &&
         f.outputs >= 0 && f.inputs >= 0 &&
         (f.inputs == 0 || (f.group > 0 && (f.group % 16 == 0 || f.group == f.inputs))) &&
         uint32_t(f.scale_element) <= GPI_KERNEL_FLOAT32;
}

WeightCode weight_code(gpi_kernel_code code) {
  switch (code) {
    case GPI_KERNEL_INT2:
      return WeightCode::int2;
    case GPI_KERNEL_INT3:
      return WeightCode::int3;
    case GPI_KERNEL_INT8:
      return WeightCode::int8;
    case GPI_KERNEL_FLOAT8:
      return WeightCode::float8;
    default:
      return WeightCode::int4;
  }
}

ScaleType scale_type(gpi_kernel_element element) {
  if (element == GPI_KERNEL_FLOAT32) return ScaleType::float32;
  return element == GPI_KERNEL_FLOAT16 ? ScaleType::float16 : ScaleType::bfloat16;
}

/// Where the parts of a packed weight lie: codes, then scales, then zeros, each aligned to 256 bytes. Codes
/// for rounded activations are rows, and their scales lie as they came.
struct PackedParts {
  int64_t scales, zeros, end;

  explicit PackedParts(const gpi_kernel_weight_format& f) {
    const int64_t count = rounds(f) ? int64_t(f.outputs) * ((f.inputs + f.group - 1) / f.group)
                                    : packed_scale_count(f.outputs, f.inputs, f.group);
    scales = rounded_up(rounds(f) ? f.outputs * code_row_bytes(f.inputs)
                                  : packed_code_bytes(weight_code(f.code), f.outputs, f.inputs));
    zeros = scales + rounded_up(count * (f.scale_element == GPI_KERNEL_FLOAT32 ? 4 : 2));
    end = zeros + (f.has_zeros ? rounded_up(count) : 0);
  }
};

bool takes_repack(const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  const int64_t row_bytes = (int64_t(a.format.inputs) * code_bits(weight_code(a.format.code)) + 7) / 8;
  return is_legal(a.format) && !a.mask && a.element == a.format.scale_element &&
         a.format.has_zeros == bool(a.zeros) && a.code_stride >= row_bytes;
}

Status launch_repack(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_repack>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const PackedParts parts(f);
  auto* packed = static_cast<unsigned char*>(a.packed);
  if (rounds(f)) {
    const Status status = repack_code_rows(
        stream,
        {row_code(f), f.outputs, f.inputs, static_cast<const uint8_t*>(a.codes), a.code_stride, packed});
    if (status != 0) return status;
    const int64_t count = int64_t(f.outputs) * ((f.inputs + f.group - 1) / f.group);
    return copy_halves(stream, a.scales, packed + parts.scales,
                       f.scale_element == GPI_KERNEL_FLOAT32 ? 2 * count : count);
  }
  return repack(stream, {weight_code(f.code), f.outputs, f.inputs, f.group, a.codes, a.code_stride,
                         scale_type(f.scale_element), a.scales, a.zeros, packed, packed + parts.scales,
                         f.has_zeros ? packed + parts.zeros : nullptr});
}

GemmWorkspace scratch(const gpi_kernel_quantized_linear& a) {
  return {static_cast<float*>(a.workspace), a.workspace_bytes / int64_t(sizeof(float))};
}

bool has_legal_operands(const gpi_kernel_quantized_linear& a) {
  return is_legal(a.format) && a.rows >= 0 &&
         (a.output_element == a.element || a.output_element == GPI_KERNEL_FLOAT32) &&
         a.input_stride >= a.format.inputs && a.output_stride >= a.format.outputs;
}

template <gpi_kernel_rounding rounding>
bool takes_w8a8(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return a.format.rounding == rounding && has_legal_operands(a) && RoundedRows::fit(a);
}

int64_t w8a8_workspace(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const bool is_taken = rounds(a.format) && a.format.sparsity == GPI_KERNEL_EVERY_INPUT;
  return is_taken ? RoundedRows(a.format, a.rows).end : 0;
}

W8A8Arguments w8a8(const gpi_kernel_quantized_linear& a) {
  const gpi_kernel_weight_format& f = a.format;
  W8A8Arguments w8a8 = RoundedRows(f, a.rows).product(a);
  const auto* packed = static_cast<const unsigned char*>(a.packed);
  w8a8.weight = packed;
  w8a8.scale_type = scale_type(f.scale_element);
  w8a8.scales = packed + PackedParts(f).scales;
  return w8a8;
}

/// Rounds the input, and multiplies it.
template <Status (*multiply)(Stream, const W8A8Arguments&)>
Status launch_w8a8(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const Status status = RoundedRows(a.format, a.rows).round(stream, a);
  return status != 0 ? status : multiply(stream, w8a8(a));
}

bool takes_w8a8_sm90(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  if (!rounds(a.format) || !has_legal_operands(a)) return false;
  return RoundedRows::fit(a) && gemm_w8a8_sm90_supports(w8a8(a));
}

/// Tiles have 128 rows.
bool w8a8_sm90_is_preferred(const Device& device, const void* arguments) {
  constexpr int fewest_rows = 128;  // not measured
  return !device.is_emulated && of<gpi_kernel_quantized_linear>(arguments).rows >= fewest_rows;
}

/// One variant for each code: what there are kernels for is said by name.
template <gpi_kernel_code code>
bool takes(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  return f.code == code && !rounds(f) && has_legal_operands(a) &&
         scratch(a).floats >= wna16_workspace_floats(a.rows, f.outputs, f.inputs);
}

int64_t wna16_workspace(const void* arguments) {
  const gpi_kernel_weight_format& f = of<gpi_kernel_quantized_linear>(arguments).format;
  if (f.sparsity != GPI_KERNEL_EVERY_INPUT) return 0;
  return wna16_workspace_most(f.outputs, f.inputs) * int64_t(sizeof(float));
}

WNA16Arguments wna16(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  const gpi_kernel_weight_format& f = a.format;
  const PackedParts parts(f);
  const auto* packed = static_cast<const unsigned char*>(a.packed);
  const PackedWeight weight = {weight_code(f.code),
                               f.outputs,
                               f.inputs,
                               f.group,
                               packed,
                               scale_type(f.scale_element),
                               packed + parts.scales,
                               f.has_zeros ? packed + parts.zeros : nullptr};
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

Status launch_wna16(Stream stream, const Device&, const void* arguments) {
  return gemm_wna16(stream, wna16(arguments), scratch(of<gpi_kernel_quantized_linear>(arguments)));
}

bool takes_wna16_sm90(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return !rounds(a.format) && has_legal_operands(a) && gemm_wna16_sm90_supports(wna16(arguments));
}

Status launch_wna16_sm90(Stream stream, const Device&, const void* arguments) {
  return gemm_wna16_sm90(stream, wna16(arguments));
}

/// Few rows are bound by reading the weight, which blocks along k do better; the emulation never mixes the
/// two.
bool wna16_sm90_is_preferred(const Device& device, const void* arguments) {
  constexpr int fewest_rows = 64;  // not measured
  return !device.is_emulated && of<gpi_kernel_quantized_linear>(arguments).rows >= fewest_rows;
}

/// Scratch memory that a model is not asked for more of, whatever its largest matrix is.
constexpr int64_t most_dequantized_bytes = 256 << 20;

int64_t dequantized_workspace(const void* arguments) {
  const gpi_kernel_weight_format& f = of<gpi_kernel_quantized_linear>(arguments).format;
  const bool is_taken = !rounds(f) && f.sparsity == GPI_KERNEL_EVERY_INPUT;
  const int64_t bytes = !is_taken ? 0 : dequantized_workspace_bytes(f.outputs, f.inputs);
  return bytes <= most_dequantized_bytes ? bytes : 0;
}

bool takes_dequantized(const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return !rounds(a.format) && has_legal_operands(a) &&
         a.workspace_bytes >= dequantized_workspace_bytes(a.format.outputs, a.format.inputs);
}

Status launch_dequantized(Stream stream, const Device& device, const void* arguments) {
  const auto& a = of<gpi_kernel_quantized_linear>(arguments);
  return gemm_dequantized(stream, wna16(arguments), device.capability >= 90 && !device.is_emulated,
                          a.workspace, a.workspace_bytes);
}

/// Where the tensor cores set the time; the emulation, whose rows must not depend on their number, never
/// mixes.
bool dequantized_is_preferred(const Device& device, const void* arguments) {
  constexpr int fewest_rows = 1024;  // not measured
  return !device.is_emulated && of<gpi_kernel_quantized_linear>(arguments).rows >= fewest_rows;
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
  if (format->sparsity != GPI_KERNEL_EVERY_INPUT) return packed_sparse_bytes(*format);
  return is_legal(*format) ? PackedParts(*format).end : -1;
}

namespace {

Variant product(const char* name, bool (*takes)(const void*), const char* shapes) {
  return {{name, GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit, shapes},
          takes,
          launch_wna16,
          wna16_workspace};
}

}  // namespace

std::vector<Variant> quantized_variants() {
  const char* integers = "groups a multiple of 16 or one scale an output, zeros that are codes or none";
  return {
      {{"dequantized", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "what wna16 takes, matrices of up to 256 MiB in 16 bits"},
       takes_dequantized,
       launch_dequantized,
       dequantized_workspace,
       nullptr,
       dequantized_is_preferred},
      {{"wna16.int4.sm90", GPI_KERNEL_QUANTIZED_LINEAR, 90, 90, sixteen_bit,
        "4-bit codes, groups a multiple of 64 or one scale an output, inputs a multiple of 8, rows aligned "
        "to 16 "
        "bytes"},
       takes_wna16_sm90,
       launch_wna16_sm90,
       nullptr,
       nullptr,
       wna16_sm90_is_preferred},
      product("wna16.int4", takes<GPI_KERNEL_INT4>, integers),
      product("wna16.int8", takes<GPI_KERNEL_INT8>, integers),
      product("wna16.int3", takes<GPI_KERNEL_INT3>, integers),
      product("wna16.int2", takes<GPI_KERNEL_INT2>, integers),
      {{"w8a8.sm90", GPI_KERNEL_QUANTIZED_LINEAR, 90, 90, sixteen_bit,
        "codes and activations of int8 or E4M3 without outliers, groups a multiple of 128 or one scale an "
        "output"},
       takes_w8a8_sm90,
       launch_w8a8<gemm_w8a8_sm90>,
       w8a8_workspace,
       nullptr,
       w8a8_sm90_is_preferred},
      {{"w8a8", GPI_KERNEL_QUANTIZED_LINEAR, first_capability, last_capability, sixteen_bit,
        "int8 codes and activations rounded to int8, outliers in 16 bits, groups a multiple of 32 or one "
        "scale an "
        "output"},
       takes_w8a8<GPI_KERNEL_ROUND_TO_INT8>,
       launch_w8a8<gemm_w8a8>,
       w8a8_workspace},
      {{"w8a8.float8", GPI_KERNEL_QUANTIZED_LINEAR, 89, last_capability, sixteen_bit,
        "E4M3 and activations rounded to E4M3, groups a multiple of 32 or one scale an output"},
       takes_w8a8<GPI_KERNEL_ROUND_TO_FLOAT8>,
       launch_w8a8<gemm_w8a8>,
       w8a8_workspace},
      product("wna16.float8", takes<GPI_KERNEL_FLOAT8>,
              "E4M3, groups a multiple of 16 or one scale an output"),
      {{"repack", GPI_KERNEL_REPACK, first_capability, last_capability, any_element,
        "codes of 2, 3, 4 and 8 bits and E4M3"},
       takes_repack,
       launch_repack},
      {{"gather_columns", GPI_KERNEL_GATHER_COLUMNS, first_capability, last_capability, sixteen_bit,
        "every shape"},
       takes_gather,
       launch_gather},
  };
}

}  // namespace gpu::table

// The scratch memory of products that round their activations to 8 bits.
#pragma once

#include "gemm/w8a8.h"
#include "table/variants.h"

namespace gpu::table {

/// Of a format that rounds.
inline RowCode row_code(const gpi_kernel_weight_format& f) {
  return f.rounding == GPI_KERNEL_ROUND_TO_FLOAT8 ? RowCode::float8 : RowCode::int8;
}

/// For as many rows as are asked for: codes, scales, the map of outliers; each aligned to 256 bytes.
struct RoundedRows {
  int64_t scales, outliers, end;

  RoundedRows(const gpi_kernel_weight_format& f, int rows) {
    auto rounded_up = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
    scales = rounded_up(rows * code_row_bytes(f.inputs));
    outliers = scales + rounded_up(int64_t(rows) * 4);
    end = outliers + rounded_up(int64_t(rows) * outlier_words(f.inputs) * 4);
  }

  /// Rounds the input of a product into its workspace.
  Status round(Stream stream, const gpi_kernel_quantized_linear& a) const {
    const gpi_kernel_weight_format& f = a.format;
    auto* scratch = static_cast<unsigned char*>(a.workspace);
    return quantize_rows(
        stream, {element_type(a.element), a.rows, f.inputs, a.input, a.input_stride, row_code(f),
                 f.outlier_threshold, f.activation_scale, scratch, reinterpret_cast<float*>(scratch + scales),
                 reinterpret_cast<uint32_t*>(scratch + outliers)});
  }

  /// What the product of it reads and writes, but for the weight.
  W8A8Arguments product(const gpi_kernel_quantized_linear& a) const {
    const gpi_kernel_weight_format& f = a.format;
    auto* scratch = static_cast<unsigned char*>(a.workspace);
    W8A8Arguments arguments = {};
    arguments.type = element_type(a.element);
    arguments.code = row_code(f);
    arguments.m = a.rows;
    arguments.n = f.outputs;
    arguments.k = f.inputs;
    arguments.group = f.group;
    arguments.codes = scratch;
    arguments.row_scales = reinterpret_cast<float*>(scratch + scales);
    arguments.outliers = reinterpret_cast<uint32_t*>(scratch + outliers);
    arguments.input = a.input;
    arguments.input_stride = a.input_stride;
    arguments.threshold = f.outlier_threshold;
    arguments.bias = a.bias;
    arguments.output = a.output;
    arguments.output_stride = a.output_stride;
    arguments.accumulate = a.accumulate;
    arguments.float_output = a.output_element == GPI_KERNEL_FLOAT32;
    return arguments;
  }
};

}  // namespace gpu::table

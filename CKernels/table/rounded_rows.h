// Rows of activations that are rounded to 8 bits for a product: in its workspace, or where the operation
// before it has left them.
#pragma once

#include "gemm/w8a8.h"
#include "table/variants.h"

namespace gpu::table {

inline RowCode row_code(gpi_kernel_rounding rounding) {
  return rounding == GPI_KERNEL_ROUND_TO_FLOAT8 ? RowCode::float8 : RowCode::int8;
}

/// Of a format that rounds.
inline RowCode row_code(const gpi_kernel_weight_format& f) { return row_code(f.rounding); }

/// For as many rows as are asked for: codes, scales, the map of outliers; each aligned to 256 bytes.
struct RoundedRows {
  int64_t scales, outliers, end;

  RoundedRows(int inputs, int rows) {
    auto rounded_up = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
    scales = rounded_up(rows * code_row_bytes(inputs));
    outliers = scales + rounded_up(int64_t(rows) * 4);
    end = outliers + rounded_up(int64_t(rows) * outlier_words(inputs) * 4);
  }

  RoundedRows(const gpi_kernel_weight_format& f, int rows) : RoundedRows(f.inputs, rows) {}

  RowCodes in(void* memory, RowCode code, float threshold, float scale) const {
    auto* bytes = static_cast<unsigned char*>(memory);
    return {code,
            threshold,
            scale,
            bytes,
            reinterpret_cast<float*>(bytes + scales),
            reinterpret_cast<uint32_t*>(bytes + outliers)};
  }

  /// Whether the input of a product is rounded already, or there is room for it.
  static bool fit(const gpi_kernel_quantized_linear& a) {
    return a.rounded || a.workspace_bytes >= RoundedRows(a.format, a.rows).end;
  }

  /// Rounds the input of a product into its workspace, unless that is done.
  Status round(Stream stream, const gpi_kernel_quantized_linear& a) const {
    const gpi_kernel_weight_format& f = a.format;
    if (a.rounded) return 0;
    return quantize_rows(stream, {element_type(a.element), a.rows, f.inputs, a.input, a.input_stride,
                                  in(a.workspace, row_code(f), f.outlier_threshold, f.activation_scale)});
  }

  /// What the product of it reads and writes, but for the weight.
  W8A8Arguments product(const gpi_kernel_quantized_linear& a) const {
    const gpi_kernel_weight_format& f = a.format;
    const auto* rows = static_cast<const unsigned char*>(a.rounded ? a.rounded : a.workspace);
    W8A8Arguments arguments = {};
    arguments.type = element_type(a.element);
    arguments.code = row_code(f);
    arguments.m = a.rows;
    arguments.n = f.outputs;
    arguments.k = f.inputs;
    arguments.group = f.group;
    arguments.codes = rows;
    arguments.row_scales = reinterpret_cast<const float*>(rows + scales);
    arguments.outliers = reinterpret_cast<const uint32_t*>(rows + outliers);
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

/// Where a norm or an activation rounds its rows to; nowhere is a default one.
inline RowCodes row_codes(const gpi_kernel_rounded_rows& r, int width, int rows) {
  if (r.rounding == GPI_KERNEL_KEEP_ACTIVATIONS) return {};
  return RoundedRows(width, rows).in(r.rows, row_code(r.rounding), r.outlier_threshold, r.activation_scale);
}

inline bool takes_rounding(const gpi_kernel_rounded_rows& r, int width, int rows) {
  if (r.rounding == GPI_KERNEL_KEEP_ACTIVATIONS) return true;
  return uint32_t(r.rounding) <= GPI_KERNEL_ROUND_TO_FLOAT8 && r.rows && is_legal(row_codes(r, width, rows));
}

}  // namespace gpu::table

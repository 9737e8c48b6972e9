// Rows of activations as codes of 8 bits, with a scale each: what products of such codes read.
#pragma once

#include <cstdint>

#include "device/device.h"

namespace gpu {

/// Columns that share a bit of the map of outliers.
constexpr int outlier_run = 16;

/// What activations and weights are rounded to.
enum class RowCode { int8, float8 };

GPU_DEVICE_OR_HOST constexpr int64_t code_row_bytes(int k) { return (int64_t(k) + 15) / 16 * 16; }
GPU_DEVICE_OR_HOST constexpr int outlier_words(int k) {
  return (k + outlier_run * 32 - 1) / (outlier_run * 32);
}

/// How rows are rounded, and where their codes go.
struct RowCodes {
  RowCode code;
  /// Sizes from here on are left out; infinity for none. int8 only.
  float threshold;
  /// Of every row instead of its own; 0 for its own.
  float fixed_scale;
  /// [rows][code_row_bytes(k)], zeros behind the last column; aligned to 16
  uint8_t* codes;
  /// [rows]
  float* scales;
  /// [rows][outlier_words(k)]; of int8 only
  uint32_t* outliers;
};

}  // namespace gpu

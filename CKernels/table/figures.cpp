// The table of figures. None of them was measured with these kernels: bandwidths are data sheets' where no
// source is named, rates of dense products four fifths of the data sheet's (what cuBLAS was seen to reach on
// an H200: 790 of 989 TFLOP/s on random data, which power limits).
//
//   A100    dense 302, mma.sp 484 TFLOP/s at 16384^3: NVIDIA/cutlass issue 408
//   Hopper  mma.sp 0.62 of dense: a 768x4096x4096 product took 0.074 ms against 0.046, NVIDIA/cutlass issue
//           1335; wgmma.sp 1.2 to 1.3 of dense: NVIDIA/cutlass issue 2229
//   others  mma.sp 1.6 of dense, the A100's ratio
//
// A GPU on which `gpuinfer bench kernels` was run replaces its row.

#include "table/figures.h"

#include <cstring>

namespace gpu::table {
namespace {

constexpr double tera = 1e12;
constexpr const char* data_sheet = "data sheet, and the A100's ratio for 2:4";
constexpr const char* hopper = "others' measurements on Hopper (cutlass issues 1335 and 2229)";

double most(double a, double b) { return a > b ? a : b; }

}  // namespace

const std::vector<gpi_kernel_figures>& figures() {
  static const std::vector<gpi_kernel_figures> all = {
      {"H200", 90, 4.3 * tera, 790 * tera, 490 * tera, 1027 * tera, hopper},
      {"H100 PCIe", 90, 2.0 * tera, 605 * tera, 375 * tera, 786 * tera, hopper},
      {"H100", 90, 3.35 * tera, 790 * tera, 490 * tera, 1027 * tera, hopper},
      {"A100", 80, 2.04 * tera, 302 * tera, 484 * tera, 0, "others' measurements (cutlass issue 408)"},
      {"A10", 86, 0.6 * tera, 100 * tera, 160 * tera, 0, data_sheet},
      {"RTX 3090", 86, 0.94 * tera, 57 * tera, 91 * tera, 0, data_sheet},
      {"L40S", 89, 0.86 * tera, 290 * tera, 464 * tera, 0, data_sheet},
      {"L4", 89, 0.3 * tera, 97 * tera, 155 * tera, 0, data_sheet},
      {"RTX 4090", 89, 1.01 * tera, 132 * tera, 211 * tera, 0, data_sheet},
  };
  return all;
}

const gpi_kernel_figures& figures_of(const char* name, int capability) {
  const gpi_kernel_figures* nearest = nullptr;
  for (const gpi_kernel_figures& f : figures()) {
    if (std::strstr(name, f.name)) return f;
    if (f.capability <= capability && (!nearest || f.capability > nearest->capability)) nearest = &f;
  }
  return nearest ? *nearest : figures().front();
}

double dense_floor(const gpi_kernel_figures& f, const SparseProduct& p, double bits) {
  const double weights = double(p.outputs) * p.inputs;
  return most(weights * bits / 8 / f.bandwidth, 2 * p.rows * weights / f.dense);
}

double sparse_floor(const gpi_kernel_figures& f, const SparseProduct& p, bool by_wgmma) {
  const double weights = double(p.outputs) * p.inputs;
  return most(weights * p.bits / 8 / f.bandwidth,
              2 * p.rows * weights / (by_wgmma ? f.sparse_wgmma : f.sparse));
}

double expanded_floor(const gpi_kernel_figures& f, const SparseProduct& p) {
  const double weights = double(p.outputs) * p.inputs;
  // Read as it is stored and written out in 16 bits; then read again while it is multiplied.
  return weights * (p.bits / 8 + 2) / f.bandwidth +
         most(weights * 2 / f.bandwidth, 2 * p.rows * weights / f.dense);
}

}  // namespace gpu::table

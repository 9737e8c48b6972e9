// What devices do at most in a second, and what follows for weights of which half is zero.
#pragma once

#include <vector>

#include "include/gpi_kernels.h"

namespace gpu::table {

const std::vector<gpi_kernel_figures>& figures();

/// Those of a device: the first whose name is part of its name, else the first of its capability, else of the
/// next lower one.
const gpi_kernel_figures& figures_of(const char* name, int capability);

/// A product of `rows` rows with a 2:4 weight.
struct SparseProduct {
  int rows;
  int outputs;
  int inputs;
  /// Of a weight as it lies in memory, zeros and scales counted: 9, 5 or 3.125 and so on.
  double bits;
};

/// Seconds that a product with a weight of `bits` bits an element takes at least.
double dense_floor(const gpi_kernel_figures& figures, const SparseProduct& product, double bits);

/// Seconds that it takes at least, as it is stored (by mma.sp, or wgmma.sp), or written out as a dense matrix
/// first: the slower of moving bytes and multiplying.
double sparse_floor(const gpi_kernel_figures& figures, const SparseProduct& product, bool by_wgmma);
double expanded_floor(const gpi_kernel_figures& figures, const SparseProduct& product);

}  // namespace gpu::table

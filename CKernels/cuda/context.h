// What the opaque types of the C interface are in this build.
#pragma once

#include <cuda_runtime.h>

#include "cuda/blas.h"
#include "include/gpi_kernels.h"

struct gpi_kernel_context {
  int device = 0;
  int capability = 0;
  const gpi_kernel_figures* figures = nullptr;
  gpu::cuda::Blas blas;
};

struct gpi_kernel_stream {
  gpi_kernel_context* context;
  cudaStream_t stream;
};

struct gpi_kernel_event {
  cudaEvent_t event;
  bool recorded;
};

struct gpi_kernel_graph {
  cudaGraphExec_t executable;
};

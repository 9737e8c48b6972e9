// cuBLASLt, opened at run time: the library is half a gigabyte, and not every machine has it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "gemm/arguments.h"

namespace gpu::cuda {

/// Products of one device. Belongs to a context.
class Blas {
 public:
  /// Opens the library; where that fails, `obstacle` says why and nothing else may be called.
  Blas();
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  /// Why it cannot be used; empty when it can.
  const std::string& obstacle() const { return obstacle_; }
  /// As `cublasLtGetVersion` gives it: 10000 * major + 100 * minor + patch.
  size_t version() const;

  /// A product without a bias. cudaErrorNotSupported when the library has no algorithm for it.
  cudaError_t multiply(cudaStream_t stream, const GemmArguments& arguments);

 private:
  // The types and functions of cublasLt.h (CUDA 12 and 13), of which no header is needed to build.
  using Handle = void*;
  using Descriptor = void*;
  struct Algorithm {
    uint64_t data[8];
  };
  struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
  };
  struct Functions {
    int (*create)(Handle*);
    int (*destroy)(Handle);
    size_t (*version)();
    int (*create_product)(Descriptor*, int compute_type, int scale_type);
    int (*destroy_product)(Descriptor);
    int (*set_product)(Descriptor, int attribute, const void* value, size_t size);
    int (*create_layout)(Descriptor*, int type, uint64_t rows, uint64_t columns, int64_t leading);
    int (*destroy_layout)(Descriptor);
    int (*create_preference)(Descriptor*);
    int (*destroy_preference)(Descriptor);
    int (*set_preference)(Descriptor, int attribute, const void* value, size_t size);
    int (*heuristic)(Handle, Descriptor product, Descriptor a, Descriptor b, Descriptor c, Descriptor d,
                     Descriptor preference, int wanted, Heuristic* results, int* found);
    int (*multiply)(Handle, Descriptor product, const void* alpha, const void* a, Descriptor a_layout,
                    const void* b, Descriptor b_layout, const void* beta, const void* c, Descriptor c_layout,
                    void* d, Descriptor d_layout, const Algorithm*, void* workspace, size_t workspace_bytes,
                    cudaStream_t);
  };

  /// A product's descriptors and algorithm, found once and kept.
  struct Plan {
    Descriptor product, weight, input, output;
    Algorithm algorithm;
    bool usable;
  };
  using Key = std::tuple<int, int, int, int, bool, int64_t, int64_t, int64_t>;

  bool load();
  Plan plan(const GemmArguments& arguments);

  std::string obstacle_;
  void* library_ = nullptr;
  Functions functions_ = {};
  Handle handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace gpu::cuda

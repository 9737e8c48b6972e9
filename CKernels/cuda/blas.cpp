#include "cuda/blas.h"

#include <dlfcn.h>

namespace gpu::cuda {
namespace {

// Values of cublas_api.h and cublasLt.h.
constexpr int success = 0;
constexpr int compute_float = 68;              // CUBLAS_COMPUTE_32F
constexpr int operation_transposed = 1;        // CUBLAS_OP_T
constexpr int attribute_transpose_a = 3;       // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int preference_workspace_bytes = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
// What NVIDIA recommends for Hopper (cuBLAS manual, cublasSetWorkspace).
constexpr size_t workspace_bytes = size_t(32) << 20;

int data_type(ElementType type) { return type == ElementType::bfloat16 ? CUDA_R_16BF : CUDA_R_16F; }

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

Blas::Blas() {
  if (load()) return;
  if (library_) dlclose(library_);
  library_ = nullptr;
}

bool Blas::load() {
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library_) break;
  }
  if (!library_) {
    obstacle_ = "libcublasLt.so.13 was not found";
    return false;
  }
  Functions& f = functions_;
  const bool complete = find(library_, "cublasLtCreate", f.create) &&
                        find(library_, "cublasLtDestroy", f.destroy) &&
                        find(library_, "cublasLtGetVersion", f.version) &&
                        find(library_, "cublasLtMatmulDescCreate", f.create_product) &&
                        find(library_, "cublasLtMatmulDescDestroy", f.destroy_product) &&
                        find(library_, "cublasLtMatmulDescSetAttribute", f.set_product) &&
                        find(library_, "cublasLtMatrixLayoutCreate", f.create_layout) &&
                        find(library_, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
                        find(library_, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
                        find(library_, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
                        find(library_, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
                        find(library_, "cublasLtMatmulAlgoGetHeuristic", f.heuristic) &&
                        find(library_, "cublasLtMatmul", f.multiply);
  if (!complete) {
    obstacle_ = "libcublasLt lacks a function that is needed";
    return false;
  }
  if (cudaMalloc(&workspace_, workspace_bytes) != cudaSuccess) {
    (void)cudaGetLastError();
    workspace_ = nullptr;
    obstacle_ = "no memory for cuBLASLt's workspace";
    return false;
  }
  if (f.create(&handle_) != success) {
    handle_ = nullptr;
    obstacle_ = "cublasLtCreate failed";
    return false;
  }
  return true;
}

Blas::~Blas() {
  for (auto& [key, plan] : plans_) {
    if (plan.product) functions_.destroy_product(plan.product);
    for (Descriptor layout : {plan.weight, plan.input, plan.output}) {
      if (layout) functions_.destroy_layout(layout);
    }
  }
  if (handle_) functions_.destroy(handle_);
  if (workspace_) cudaFree(workspace_);
  if (library_) dlclose(library_);
}

size_t Blas::version() const { return functions_.version(); }

/// cuBLAS counts in columns, so what it sees is the transposed product:
///
/// ```
/// output [m, n] row-major = [n, m] column-major = transposed(weight [k, n]) * input [k, m]
/// ```
Blas::Plan Blas::plan(const GemmArguments& a) {
  Plan plan = {};
  const int type = data_type(a.type), output_type = a.float_output ? int(CUDA_R_32F) : type;
  const Functions& f = functions_;
  Descriptor preference = nullptr;
  Heuristic best = {};
  int found = 0;
  plan.usable =
      f.create_product(&plan.product, compute_float, CUDA_R_32F) == success &&
      f.set_product(plan.product, attribute_transpose_a, &operation_transposed,
                    sizeof operation_transposed) == success &&
      f.create_layout(&plan.weight, type, uint64_t(a.k), uint64_t(a.n), a.weight_stride) == success &&
      f.create_layout(&plan.input, type, uint64_t(a.k), uint64_t(a.m), a.input_stride) == success &&
      f.create_layout(&plan.output, output_type, uint64_t(a.n), uint64_t(a.m), a.output_stride) == success &&
      f.create_preference(&preference) == success &&
      f.set_preference(preference, preference_workspace_bytes, &workspace_bytes, sizeof workspace_bytes) ==
          success &&
      f.heuristic(handle_, plan.product, plan.weight, plan.input, plan.output, plan.output, preference, 1,
                  &best, &found) == success &&
      found > 0 && best.state == success;
  if (preference) f.destroy_preference(preference);
  plan.algorithm = best.algorithm;
  return plan;
}

cudaError_t Blas::multiply(cudaStream_t stream, const GemmArguments& a) {
  const Key key = {int(a.type),    a.m, a.n, a.k, a.float_output, a.input_stride, a.weight_stride,
                   a.output_stride};
  auto known = plans_.find(key);
  if (known == plans_.end()) known = plans_.emplace(key, plan(a)).first;
  const Plan& plan = known->second;
  if (!plan.usable) return cudaErrorNotSupported;
  const float alpha = 1.0f, beta = a.accumulate ? 1.0f : 0.0f;
  const int status = functions_.multiply(handle_, plan.product, &alpha, a.weight, plan.weight, a.input,
                                         plan.input, &beta, a.output, plan.output, a.output, plan.output,
                                         &plan.algorithm, workspace_, workspace_bytes, stream);
  return status == success ? cudaSuccess : cudaErrorUnknown;
}

}  // namespace gpu::cuda

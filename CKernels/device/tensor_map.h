// Tensor maps: what the hardware must know of a tensor in global memory to copy boxes of it (CUDA driver API,
// cuTensorMapEncodeTiled; sm_90).
//
// The host encodes a map once and passes it inside a kernel's parameter struct, which the kernel declares
// with GPU_PARAMETER.
#pragma once

#include "device/launch.h"

#if GPU_ON_DEVICE
#include <cuda.h>
#endif

namespace gpu {

/// How 16-byte chunks are exchanged in shared memory so that neither rows nor columns of them share banks.
/// The bits of the shared address change, so the pattern does not depend on where a box starts:
///
///   bytes_32    bit 4       ^= bit 7
///   bytes_64    bits 4-5    ^= bits 7-8
///   bytes_128   bits 4-6    ^= bits 7-9
enum class Swizzle : int { none = 0, bytes_32 = 1, bytes_64 = 2, bytes_128 = 3 };

/// Bytes of a row that the pattern works on; 16 for none.
GPU_DEVICE_OR_HOST constexpr int swizzle_span(Swizzle swizzle) { return 16 << int(swizzle); }

/// Where the chunk at `address` really lies.
GPU_DEVICE_OR_HOST constexpr uint32_t swizzled(uint32_t address, Swizzle swizzle) {
  return address ^ (address >> 3 & uint32_t(swizzle_span(swizzle) - 16));
}

/// The hardware's own form, or the emulation's.
struct alignas(64) TensorMap {
  uint64_t word[16];
};

/// A tensor and the boxes it is copied in. Dimensions come innermost first; those past `rank` are ignored.
struct TensorMapDescription {
  /// Multiple of 16.
  const void* address;
  /// 1, 2 or 4.
  int element_bytes;
  /// 2 to 5.
  int rank;
  /// Elements. What lies outside reads as zeros and is not written.
  int64_t size[5];
  /// Bytes from one element of a dimension to the next, multiples of 16 below 2^40; `stride[0]` is not read.
  int64_t stride[5];
  /// Elements of a box, at most 256 each. With a swizzle, the innermost one is exactly the swizzle's span.
  int box[5];
  Swizzle swizzle;
};

/// Whether the driver would take it; asked by both worlds, so that they refuse the same.
inline bool is_encodable(const TensorMapDescription& d) {
  if (d.rank < 2 || d.rank > 5 || reinterpret_cast<uintptr_t>(d.address) % 16 != 0) return false;
  if (d.element_bytes != 1 && d.element_bytes != 2 && d.element_bytes != 4) return false;
  for (int i = 0; i < d.rank; ++i) {
    if (d.size[i] < 1 || d.size[i] > int64_t(1) << 32 || d.box[i] < 1 || d.box[i] > 256) return false;
    if (i > 0 && (d.stride[i] < 0 || d.stride[i] % 16 != 0 || d.stride[i] >= int64_t(1) << 40)) return false;
  }
  const int inner = d.box[0] * d.element_bytes;
  return d.swizzle == Swizzle::none ? inner % 16 == 0 : inner == swizzle_span(d.swizzle);
}

#if GPU_ON_DEVICE
/// `invalid_arguments`, or the error of a driver that has no tensor maps.
inline Status encode_tensor_map(TensorMap& map, const TensorMapDescription& d) {
  if (!is_encodable(d)) return invalid_arguments;
  // Asked from the driver at run time: the library is not linked against libcuda.
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found;
  constexpr unsigned introduced = 12000;
  cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, introduced,
                                                       cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorNotSupported;

  cuuint64_t size[5], stride[4];
  cuuint32_t box[5], element_stride[5];
  for (int i = 0; i < d.rank; ++i) {
    size[i] = cuuint64_t(d.size[i]);
    box[i] = cuuint32_t(d.box[i]);
    element_stride[i] = 1;
    if (i > 0) stride[i - 1] = cuuint64_t(d.stride[i]);
  }
  const CUtensorMapDataType type = d.element_bytes == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                   : d.element_bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                                                          : CU_TENSOR_MAP_DATA_TYPE_UINT32;
  const CUtensorMapSwizzle swizzle = d.swizzle == Swizzle::none       ? CU_TENSOR_MAP_SWIZZLE_NONE
                                     : d.swizzle == Swizzle::bytes_32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                     : d.swizzle == Swizzle::bytes_64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                                      : CU_TENSOR_MAP_SWIZZLE_128B;
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap), "the driver's map has 128 bytes");
  auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(address);
  CUresult result =
      encode(reinterpret_cast<CUtensorMap*>(&map), type, cuuint32_t(d.rank), const_cast<void*>(d.address),
             size, stride, box, element_stride, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? 0 : int(cudaErrorInvalidValue);
}
#else
inline Status encode_tensor_map(TensorMap& map, const TensorMapDescription& d) {
  if (!is_encodable(d)) return invalid_arguments;
  simt::TensorMapFields fields = {};
  fields.address = static_cast<const unsigned char*>(d.address);
  fields.rank = d.rank;
  fields.element_bytes = d.element_bytes;
  fields.swizzle = int(d.swizzle);
  for (int i = 0; i < d.rank; ++i) {
    fields.size[i] = d.size[i];
    fields.stride[i] = i == 0 ? d.element_bytes : d.stride[i];
    fields.box[i] = d.box[i];
  }
  simt::encode_tensor_map(map.word, fields);
  return 0;
}
#endif

}  // namespace gpu

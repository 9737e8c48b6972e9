// One kernel for each primitive, so that its map can be compared with a plain computation.
#pragma once

#include <cstdint>

#include "device/launch.h"

namespace gpu::test {

/// Every lane exchanges its index in each way; output [8][32].
struct ExchangeAllArguments {
  uint32_t* output;
};
Status exchange_all(Stream stream, const ExchangeAllArguments& arguments);

/// d[16][8] = a[16][k] · b[k][8] by one instruction, with fragments gathered from plain matrices.
enum class Product : int { bfloat16, float16, int8 };
struct ProductArguments {
  Product product;
  const void* a;
  const void* b;
  /// float, or int32 for int8
  void* d;
};
Status multiply(Stream stream, const ProductArguments& arguments);

/// d[16][8] = a[16][k] · b[k][8] by one instruction, where two of each four neighbours in a row of a are
/// stored.
struct SparseProductArguments {
  Product product;
  /// Which lanes' metadata counts, with 16-bit elements.
  int selector;
  /// [16][k / 2]
  const void* stored;
  /// [32]
  const uint32_t* metadata;
  const void* b;
  /// float, or int32 for int8
  void* d;
};
Status multiply_sparse(Stream stream, const SparseProductArguments& arguments);

/// Loads a 16 x 16 matrix of 16-bit elements that lies in shared memory with `pitch` bytes a row; registers
/// [32][4].
struct LoadArguments {
  const uint16_t* matrix;
  int pitch;
  bool transposed;
  uint32_t* registers;
};
Status load(Stream stream, const LoadArguments& arguments);

/// Passes a counter from warp to warp through named barriers; output [1].
struct RelayArguments {
  int* output;
};
Status relay(Stream stream, const RelayArguments& arguments);

}  // namespace gpu::test

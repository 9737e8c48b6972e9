#include "device/device.h"
#include "tests/kernels/primitives.h"

namespace gpu::test {
namespace {

GPU_KERNEL(32, 1)
exchange_all_kernel(ExchangeAllArguments p) {
  const int lane = thread_index();
  const uint32_t own = uint32_t(lane) + 100;
  p.output[lane] = shuffle(own, lane / 2);
  p.output[32 + lane] = shuffle_xor(own, 5);
  p.output[64 + lane] = shuffle_up(own, 3);
  p.output[96 + lane] = shuffle_down(own, 3);
  p.output[128 + lane] = ballot(lane % 3 == 0);
  // Two halves of the warp at once, each with a mask of its own.
  const uint32_t half = lane < 16 ? 0xffffu : 0xffff0000u;
  p.output[160 + lane] = shuffle_xor(own, 1, half);
  p.output[192 + lane] = ballot(lane % 2 == 0, half);
  p.output[224 + lane] = bits_of(warp_sum(float(lane)));
}

template <class Element, class Fragment>
GPU_DEVICE void gather(Fragment& a, uint32_t (&b)[2], const ProductArguments& p, int k_size) {
  constexpr int per_register = 4 / sizeof(Element);
  const int g = lane_index() / 4, q = lane_index() % 4;
  const Element* matrix_a = static_cast<const Element*>(p.a);
  const Element* matrix_b = static_cast<const Element*>(p.b);
  for (int reg = 0; reg < 4; ++reg) {
    a[reg] = 0;
    for (int i = 0; i < per_register; ++i) {
      const int k = per_register * q + i + 4 * per_register * (reg / 2);
      a[reg] |= uint32_t(matrix_a[(g + 8 * (reg % 2)) * k_size + k]) << (32 / per_register * i);
    }
  }
  for (int reg = 0; reg < 2; ++reg) {
    b[reg] = 0;
    for (int i = 0; i < per_register; ++i) {
      const int k = per_register * q + i + 4 * per_register * reg;
      b[reg] |= uint32_t(matrix_b[k * 8 + g]) << (32 / per_register * i);
    }
  }
}

GPU_KERNEL(32, 1)
multiply_kernel(ProductArguments p) {
  const int g = lane_index() / 4, q = lane_index() % 4;
  uint32_t a[4], b[2];
  if (p.product == Product::int8) {
    gather<uint8_t>(a, b, p, 32);
    int32_t d[4] = {};
    mma_m16n8k32_s8(d, a, b[0], b[1]);
    for (int i = 0; i < 4; ++i) static_cast<int32_t*>(p.d)[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = d[i];
    return;
  }
  gather<uint16_t>(a, b, p, 16);
  float d[4] = {};
  if (p.product == Product::bfloat16) {
    mma_m16n8k16<bf16>(d, a, b[0], b[1]);
  } else {
    mma_m16n8k16<f16>(d, a, b[0], b[1]);
  }
  for (int i = 0; i < 4; ++i) static_cast<float*>(p.d)[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = d[i];
}

/// The registers of a, from a matrix of 4 elements of T a register column.
template <class Element>
GPU_DEVICE void gather_sparse(uint32_t (&a)[4], uint32_t (&b)[4], const SparseProductArguments& p) {
  constexpr int per_register = 4 / sizeof(Element), columns = 8 * per_register;
  const int g = lane_index() / 4, q = lane_index() % 4;
  const Element* stored = static_cast<const Element*>(p.stored);
  const Element* matrix_b = static_cast<const Element*>(p.b);
  for (int reg = 0; reg < 4; ++reg) {
    a[reg] = b[reg] = 0;
    for (int i = 0; i < per_register; ++i) {
      const int column = per_register * q + i + 4 * per_register * (reg / 2);
      const int k = per_register * q + i + 4 * per_register * reg;
      a[reg] |= uint32_t(stored[(g + 8 * (reg % 2)) * columns + column]) << (32 / per_register * i);
      b[reg] |= uint32_t(matrix_b[k * 8 + g]) << (32 / per_register * i);
    }
  }
}

template <class T>
GPU_DEVICE void multiply_sparse_16(float (&d)[4], const SparseProductArguments& p, uint32_t metadata) {
  uint32_t a[4], b[4];
  gather_sparse<uint16_t>(a, b, p);
  if (p.selector == 0) {
    mma_sparse_m16n8k32<T, 0>(d, a, b, metadata);
  } else {
    mma_sparse_m16n8k32<T, 1>(d, a, b, metadata);
  }
}

GPU_KERNEL(32, 1)
multiply_sparse_kernel(SparseProductArguments p) {
  const int g = lane_index() / 4, q = lane_index() % 4;
  const uint32_t metadata = p.metadata[lane_index()];
  if (p.product == Product::int8) {
    uint32_t a[4], b[4];
    gather_sparse<uint8_t>(a, b, p);
    int32_t d[4] = {};
    mma_sparse_m16n8k64_s8(d, a, b, metadata);
    for (int i = 0; i < 4; ++i) static_cast<int32_t*>(p.d)[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = d[i];
    return;
  }
  float d[4] = {};
  if (p.product == Product::bfloat16) {
    multiply_sparse_16<bf16>(d, p, metadata);
  } else {
    multiply_sparse_16<f16>(d, p, metadata);
  }
  for (int i = 0; i < 4; ++i) static_cast<float*>(p.d)[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = d[i];
}

GPU_KERNEL(32, 1)
load_kernel(LoadArguments p) {
  GPU_SHARED(shared);
  const int lane = thread_index();
  for (int i = lane; i < 256; i += 32) {
    reinterpret_cast<uint16_t*>(shared + i / 16 * p.pitch)[i % 16] = p.matrix[i];
  }
  sync_warp();
  // Matrices: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  const SharedAddress row = shared_address(shared) + SharedAddress(lane % 16 * p.pitch + lane / 16 * 16);
  uint32_t registers[4];
  if (p.transposed) {
    load_matrices_transposed(registers, row);
  } else {
    load_matrices(registers, row);
  }
  for (int i = 0; i < 4; ++i) p.registers[lane * 4 + i] = registers[i];
}

/// Warp 0 arrives at the barrier that warp 1 waits at, after writing; warp 1 hands on to warp 2 likewise.
GPU_KERNEL(96, 1)
relay_kernel(RelayArguments p) {
  GPU_SHARED(shared);
  int* counter = reinterpret_cast<int*>(shared);
  const int warp = warp_index(), lane = lane_index();
  if (warp == 0) {
    if (lane == 0) *counter = 1;
    arrive_named<1>(64);
  } else if (warp == 1) {
    sync_named<1>(64);
    if (lane == 31) *counter += 10;
    arrive_named<2>(64);
  } else {
    sync_named<2>(64);
    if (lane == 7) *p.output = *counter + 100;
  }
}

}  // namespace

Status exchange_all(Stream stream, const ExchangeAllArguments& arguments) {
  return launch(stream, "exchange_all", {}, exchange_all_kernel, arguments);
}
Status multiply(Stream stream, const ProductArguments& arguments) {
  return launch(stream, "multiply", {}, multiply_kernel, arguments);
}
Status multiply_sparse(Stream stream, const SparseProductArguments& arguments) {
  return launch(stream, "multiply_sparse", {}, multiply_sparse_kernel, arguments);
}
Status load(Stream stream, const LoadArguments& arguments) {
  return launch(stream, "load", {{1, 1, 1}, 32, 16 * arguments.pitch}, load_kernel, arguments);
}
Status relay(Stream stream, const RelayArguments& arguments) {
  return launch(stream, "relay", {{1, 1, 1}, 96, 4}, relay_kernel, arguments);
}

}  // namespace gpu::test

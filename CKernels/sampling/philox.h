// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
#pragma once

#include "device/platform.h"

namespace gpu {

struct PhiloxBlock {
  uint32_t word[4];

  /// Word `index % 4`, without making an array that lives in memory.
  GPU_DEVICE uint32_t at(int index) const {
    const uint32_t low = index & 1 ? word[1] : word[0], high = index & 1 ? word[3] : word[2];
    return index & 2 ? high : low;
  }
};

GPU_DEVICE PhiloxBlock philox(PhiloxBlock counter, uint64_t key) {
  uint32_t(&c)[4] = counter.word;
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  GPU_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t(0xd2511f53u) * c[0], product1 = uint64_t(0xcd9e8d57u) * c[2];
    const uint32_t next0 = uint32_t(product1 >> 32) ^ c[1] ^ k0;
    const uint32_t next2 = uint32_t(product0 >> 32) ^ c[3] ^ k1;
    c[1] = uint32_t(product1);
    c[3] = uint32_t(product0);
    c[0] = next0;
    c[2] = next2;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return counter;
}

}  // namespace gpu

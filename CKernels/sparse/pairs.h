// From masks to the metadata of mma.sp.
#pragma once

#include "device/device.h"

namespace gpu {

/// The nibble of mma.sp for a quad of a mask (device/mma_sparse.h): the places of its two bits, the lower
/// first. What is no pair, and what lies past the weight [n, k], counts as the places 0 and 1.
GPU_DEVICE uint32_t pair_of(const uint8_t* mask, int n, int k, int feature, int quad) {
  if (feature >= n || 4 * quad >= k) return 4;
  const uint32_t bits = mask[int64_t(feature) * ((k + 7) / 8) + quad / 2] >> (quad % 2 * 4) & 15;
  switch (bits) {
    case 0b0101:
      return 0x8;
    case 0b0110:
      return 0x9;
    case 0b1001:
      return 0xc;
    case 0b1010:
      return 0xd;
    case 0b1100:
      return 0xe;
    default:
      return 0x4;
  }
}

}  // namespace gpu

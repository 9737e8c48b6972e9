// Reads the descriptors of device/wgmma.h.
#pragma once

#include <cstdint>

#include "device/tensor_map.h"

namespace gpu::simt {

struct DecodedMatrix {
  uint32_t start;
  uint32_t leading;
  uint32_t stride;
  int base_offset;
  Swizzle swizzle;
  bool transposed;

  static DecodedMatrix of(uint64_t bits, bool transposed) {
    auto field = [&](int shift) { return uint32_t(bits >> shift & 0x3fff) << 4; };
    const int mode = int(bits >> 62);
    return {field(0),  field(16), field(32), int(bits >> 49 & 7), Swizzle(mode == 0 ? 0 : 4 - mode),
            transposed};
  }

  /// Nothing, or why the hardware would read something else.
  const char* objection() const {
    const uint32_t span = uint32_t(swizzle_span(swizzle));
    if (base_offset != 0) return "the emulation knows a base offset of 0 only";
    if (transposed && swizzle == Swizzle::none)
      return "the emulation knows transposed matrices with a swizzle only";
    if (swizzle == Swizzle::none) return nullptr;
    if (transposed ? start % (8 * span) != 0 : start % (8 * span) >= span) {
      return "an atom of eight rows must start at a multiple of its size";
    }
    return nullptr;
  }

  /// Address of the 16 bytes with eight elements of k, from 8 · `half`, of a row.
  uint32_t k_chunk(int row, int half) const {
    const uint32_t r = uint32_t(row), span = uint32_t(swizzle_span(swizzle));
    if (swizzle == Swizzle::none) return start + r / 8 * stride + uint32_t(half) * leading + r % 8 * 16;
    return swizzled(start + r / 8 * stride + r % 8 * span + uint32_t(half) * 16, swizzle);
  }

  /// Address of the 16 bytes with eight rows, from 8 · `group`, of one k.
  uint32_t row_chunk(int group, int k) const {
    const uint32_t span = uint32_t(swizzle_span(swizzle)), byte = uint32_t(group) * 16;
    return swizzled(
        start + byte / span * leading + uint32_t(k) / 8 * stride + uint32_t(k) % 8 * span + byte % span,
        swizzle);
  }
};

}  // namespace gpu::simt

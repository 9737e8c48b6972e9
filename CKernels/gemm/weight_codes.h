// From packed codes to the A fragments of mma: one reader for each kind of code, see gemm/wna16.h for where
// the codes lie. What they give is exact: code − zero has at most 8 significant bits, as bf16 has.
#pragma once

#include "device/device.h"
#include "device/packed16.h"
#include "gemm/wna16.h"

namespace gpu {

GPU_DEVICE_OR_HOST constexpr int span_bytes(WeightCode code) { return code_bits(code) * 128; }

/// Two codes below 2^7 (below 2^8 for f16) as the last bits of a constant's mantissa, the constant and the
/// zero taken off at once: device/packed16.h has the constants.
template <class T>
struct SmallCodes {
  static constexpr bool is_bf16 = std::is_same_v<T, bf16>;
  uint32_t offset;

  GPU_DEVICE static SmallCodes of(uint32_t zero) {
    return {((is_bf16 ? 0xc300u : 0xe400u) + zero) * 0x10001u};
  }
  GPU_DEVICE uint32_t value(uint32_t codes) const {
    return fma_pair<T>(codes | (is_bf16 ? 0x43004300u : 0x64006400u), is_bf16 ? 0x3f803f80u : 0x3c003c00u,
                       offset);
  }
};

/// Two codes of 8 bits. bf16 has one bit of mantissa too few for the constant: the highest bit is added as
/// 128.
template <class T>
struct ByteCodes;

template <>
struct ByteCodes<f16> : SmallCodes<f16> {
  GPU_DEVICE static ByteCodes of(uint32_t zero) { return {SmallCodes<f16>::of(zero)}; }
};

template <>
struct ByteCodes<bf16> {
  uint32_t minus_zero;

  GPU_DEVICE static ByteCodes of(uint32_t zero) {
    return {uint32_t(from_float<bf16>(-float(zero)).bits) * 0x10001u};
  }
  GPU_DEVICE uint32_t value(uint32_t codes) const {
    constexpr uint32_t one = 0x3f803f80u, hundred_and_28 = 0x43004300u;
    const uint32_t low = fma_pair<bf16>((codes & 0x007f007fu) | hundred_and_28, one, 0xc300c300u);
    const uint32_t high = fma_pair<bf16>((codes >> 7 & 0x00010001u) * 0x3f80u, hundred_and_28, minus_zero);
    return fma_pair<bf16>(low, one, high);
  }
};

/// Two E4M3 codes: exponent and mantissa moved into place, the bias put right by a product with 2^8 or 2^120.
template <class T>
struct Float8Codes {
  GPU_DEVICE static Float8Codes of(uint32_t) { return {}; }
  GPU_DEVICE uint32_t value(uint32_t codes) const {
    const uint32_t sign = (codes & 0x00800080u) << 8;
    if constexpr (std::is_same_v<T, bf16>) {
      return fma_pair<bf16>(sign | (codes & 0x007f007fu) << 4, 0x7b807b80u, 0x80008000u);
    } else {
      return fma_pair<f16>(sign | (codes & 0x007f007fu) << 7, 0x5c005c00u, 0x80008000u);
    }
  }
};

/// `Zero` is what a feature's zero becomes, `load` brings a lane's codes of a span from shared memory, and
/// `fragment` makes the registers of step `s`.
template <class T, WeightCode code>
struct CodeReader;

template <class T>
struct CodeReader<T, WeightCode::int4> {
  using Zero = CodeOffsets<T>;
  using Words = Packed;

  GPU_DEVICE static Words load(const unsigned char* span, int lane) {
    return reinterpret_cast<const Packed*>(span)[lane];
  }
  GPU_DEVICE static void fragment(uint32_t (&a)[4], const Words& words, int s, const Zero (&zero)[2]) {
    const uint32_t word = words.word[s];
    a[0] = zero[0].first(word);
    a[1] = zero[1].first(word >> 8);
    a[2] = zero[0].second(word);
    a[3] = zero[1].second(word >> 8);
  }
};

/// Two words.
struct alignas(8) PackedPair {
  uint32_t word[2];
};

/// Fields of two bits of one step, register by register.
GPU_DEVICE uint32_t two_bits(const PackedPair& words, int s, int r) {
  return words.word[s / 2] >> (2 * (4 * (s % 2) + r)) & 0x00030003u;
}

template <class T>
struct CodeReader<T, WeightCode::int2> {
  using Zero = SmallCodes<T>;
  using Words = PackedPair;

  GPU_DEVICE static Words load(const unsigned char* span, int lane) {
    return reinterpret_cast<const PackedPair*>(span)[lane];
  }
  GPU_DEVICE static void fragment(uint32_t (&a)[4], const Words& words, int s, const Zero (&zero)[2]) {
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) a[r] = zero[r % 2].value(two_bits(words, s, r));
  }
};

template <class T>
struct CodeReader<T, WeightCode::int3> {
  using Zero = SmallCodes<T>;
  struct Words {
    PackedPair low;
    uint32_t high;
  };

  GPU_DEVICE static Words load(const unsigned char* span, int lane) {
    return {reinterpret_cast<const PackedPair*>(span)[lane],
            reinterpret_cast<const uint32_t*>(span + span_bytes(WeightCode::int2))[lane]};
  }
  GPU_DEVICE static void fragment(uint32_t (&a)[4], const Words& words, int s, const Zero (&zero)[2]) {
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) {
      const uint32_t high = words.high >> (4 * s + r) & 0x00010001u;
      a[r] = zero[r % 2].value(two_bits(words.low, s, r) | high << 2);
    }
  }
};

/// Bytes, whatever they stand for.
template <class Value>
struct ByteReader {
  using Zero = Value;
  struct Words {
    Packed half[2];
  };

  GPU_DEVICE static Words load(const unsigned char* span, int lane) {
    const Packed* packed = reinterpret_cast<const Packed*>(span);
    return {{packed[lane], packed[warp_size + lane]}};
  }
  GPU_DEVICE static void fragment(uint32_t (&a)[4], const Words& words, int s, const Zero (&zero)[2]) {
    GPU_UNROLL
    for (int r = 0; r < 4; ++r) {
      const uint32_t word = words.half[s / 2].word[2 * (s % 2) + r / 2];
      a[r] = zero[r % 2].value(word >> (8 * (r % 2)) & 0x00ff00ffu);
    }
  }
};

template <class T>
struct CodeReader<T, WeightCode::int8> : ByteReader<ByteCodes<T>> {};

template <class T>
struct CodeReader<T, WeightCode::float8> : ByteReader<Float8Codes<T>> {};

}  // namespace gpu

/// Two 4-bit codes in one byte: element `2i` in the low nibble, element `2i + 1` in the high one.
///
/// On a little-endian machine this is also the order of eight codes in an int32 word filled from its lowest bits,
/// as GPTQ's `qweight` and compressed-tensors' `weight_packed` store them.
package struct PackedInt4: Sendable, Hashable {
  package var byte: UInt8

  package init(byte: UInt8) { self.byte = byte }

  /// - Precondition: both codes are below 16.
  package init(low: UInt8, high: UInt8) {
    precondition(low < 16 && high < 16, "a 4-bit code is below 16")
    byte = low | high << 4
  }

  package var low: UInt8 { byte & 0x0F }
  package var high: UInt8 { byte >> 4 }

  /// The nibbles as two's complement numbers, -8...7.
  package var signedLow: Int8 { Int8(bitPattern: byte << 4) >> 4 }
  package var signedHigh: Int8 { Int8(bitPattern: byte) >> 4 }

  /// Packs codes in order; an odd count leaves the last high nibble zero.
  ///
  /// - Precondition: every code is below 16.
  package static func pack(_ codes: [UInt8]) -> [UInt8] {
    stride(from: 0, to: codes.count, by: 2).map { index in
      PackedInt4(low: codes[index], high: index + 1 < codes.count ? codes[index + 1] : 0).byte
    }
  }

  /// The first `count` codes of packed bytes.
  ///
  /// - Precondition: `bytes` holds at least `count` codes.
  package static func unpack(_ bytes: [UInt8], count: Int) -> [UInt8] {
    precondition(count >= 0 && count <= bytes.count * 2, "more codes asked for than are packed")
    return (0..<count).map { index in
      let pair = PackedInt4(byte: bytes[index / 2])
      return index % 2 == 0 ? pair.low : pair.high
    }
  }
}

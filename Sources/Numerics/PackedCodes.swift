/// Unsigned codes of 1 to 8 bits as a dense stream of bits, the lowest bit of each code first, in little-endian int32
/// words that begin anew in each row.
///
///     bits 3    word 0                                   word 1
///               | c0 | c1 | … | c9 | c10 bits 0–1 |      | c10 bit 2 | c11 | …
///
/// It is the row of compressed-tensors' `weight_packed` and, transposed, the column of GPTQ's `qweight` and the row of
/// its `qzeros` (AutoGPTQ's 3-bit layout of 32 codes in three words is the same stream).
package enum PackedCodes {
  /// Words of a row of `count` codes.
  package static func wordCount(_ count: Int, bits: Int) -> Int { (count * bits + 31) / 32 }

  /// - Precondition: `words` hold `codes.count` codes.
  package static func unpack(
    _ words: UnsafePointer<UInt32>, bits: Int, into codes: UnsafeMutableBufferPointer<UInt8>
  ) {
    let mask = UInt64(1) << UInt64(bits) - 1
    var (window, held, next) = (UInt64(0), 0, 0)
    for index in codes.indices {
      if held < bits {
        unsafe window |= UInt64(words[next]) << UInt64(held)
        next += 1
        held += 32
      }
      unsafe codes[index] = UInt8(truncatingIfNeeded: window & mask)
      window >>= UInt64(bits)
      held -= bits
    }
  }

  /// Fills `wordCount` words; the bits behind the last code are 0.
  ///
  /// - Precondition: every code is below `2^bits`, and `words` has room.
  package static func pack(
    _ codes: UnsafeBufferPointer<UInt8>, bits: Int, into words: UnsafeMutablePointer<UInt32>
  ) {
    var (window, held, next) = (UInt64(0), 0, 0)
    for index in codes.indices {
      unsafe window |= UInt64(codes[index]) << UInt64(held)
      held += bits
      if held >= 32 {
        unsafe words[next] = UInt32(truncatingIfNeeded: window)
        next += 1
        window >>= 32
        held -= 32
      }
    }
    if held > 0 { unsafe words[next] = UInt32(truncatingIfNeeded: window) }
  }

  package static func unpack(_ words: [UInt32], bits: Int, count: Int) -> [UInt8] {
    precondition(words.count >= wordCount(count, bits: bits), "more codes asked for than are packed")
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      unsafe words.withUnsafeBufferPointer { words in
        if let base = words.baseAddress {
          unsafe unpack(base, bits: bits, into: UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
        }
      }
      initialized = count
    }
  }

  package static func pack(_ codes: [UInt8], bits: Int) -> [UInt32] {
    let count = wordCount(codes.count, bits: bits)
    return unsafe [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
      unsafe codes.withUnsafeBufferPointer { codes in
        if let base = buffer.baseAddress { unsafe pack(codes, bits: bits, into: base) }
      }
      initialized = count
    }
  }
}

/// A 64-bit hash of short byte strings, seeded so that a hostile vocabulary can't aim for collisions.
///
/// The mixing step is the full 64×64→128 bit product folded to 64 bits, as in wyhash (Wang Yi, 2019).
struct ByteHash: Sendable {
  private let seed: UInt64

  init() { seed = UInt64.random(in: 1...UInt64.max) | 1 }

  @inline(__always)
  func callAsFunction(_ key: Span<UInt8>) -> UInt64 {
    let bytes = unsafe key.bytes
    let count = bytes.byteCount
    let length = UInt64(truncatingIfNeeded: count)
    if count <= 8 { return mix(Self.word(bytes, count) ^ seed, length ^ 0x9E37_79B9_7F4A_7C15) }
    var state = seed
    var place = 0
    while place + 8 < count {
      state = mix(state ^ Self.load(bytes, place), 0xA076_1D64_78BD_642F)
      place += 8
    }
    return mix(state ^ Self.load(bytes, count - 8), length ^ 0xE703_7ED1_A0B4_28DB)
  }

  /// At most eight bytes as one number; equal numbers of equal counts mean equal bytes.
  @inline(__always)
  static func word(_ bytes: RawSpan, _ count: Int) -> UInt64 {
    if count >= 4 {
      let low = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 0, as: UInt32.self)
      let high = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: count - 4, as: UInt32.self)
      return UInt64(low) | UInt64(high) << 32
    }
    if count == 0 { return 0 }
    let first = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self)
    let middle = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: count >> 1, as: UInt8.self)
    let last = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: count - 1, as: UInt8.self)
    return UInt64(first) | UInt64(middle) << 8 | UInt64(last) << 16
  }

  @inline(__always)
  static func load(_ bytes: RawSpan, _ place: Int) -> UInt64 {
    unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place, as: UInt64.self)
  }

  @inline(__always)
  private func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }
}

/// Whether two byte strings of one length are equal.
@inline(__always)
func equalBytes(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
  let count = a.count
  if count != b.count { return false }
  let left = unsafe a.bytes
  let right = unsafe b.bytes
  var place = 0
  while place + 8 <= count {
    let x = unsafe left.unsafeLoadUnaligned(fromUncheckedByteOffset: place, as: UInt64.self)
    let y = unsafe right.unsafeLoadUnaligned(fromUncheckedByteOffset: place, as: UInt64.self)
    if x != y { return false }
    place += 8
  }
  while place < count {
    if unsafe a[unchecked: place] != b[unchecked: place] { return false }
    place += 1
  }
  return true
}

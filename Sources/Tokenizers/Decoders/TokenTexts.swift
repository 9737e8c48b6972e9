/// What each token adds to a text, made ready once so that decoding is copying.
///
/// A token's text is the result of the decoder's early stages for a token that is not the first.
struct TokenTexts: Sendable {
  private var bytes: [UInt8] = []
  /// By id: where the text begins; one more at the end.
  private var starts: [UInt32] = [0]
  /// By id.
  private var kinds: [Kind] = []

  enum Kind: UInt8, Sendable {
    case none, text, special
    /// The text is one byte of a run spelled "<0xE4>".
    case byte, specialByte
  }

  var byteCount: Int { bytes.count }

  init(count: Int) {
    starts.reserveCapacity(count + 1)
    kinds.reserveCapacity(count)
  }

  mutating func append(_ text: Span<UInt8>, _ kind: Kind) {
    bytes.append(text)
    starts.append(UInt32(truncatingIfNeeded: bytes.count))
    kinds.append(kind)
  }

  mutating func appendNone() {
    starts.append(UInt32(truncatingIfNeeded: bytes.count))
    kinds.append(.none)
  }

  mutating func markSpecial(_ id: Int32) {
    switch kind(of: id) {
    case .text: kinds[Int(id)] = .special
    case .byte: kinds[Int(id)] = .specialByte
    case .none, .special, .specialByte: break
    }
  }

  @inline(__always)
  func kind(of id: Int32) -> Kind { id >= 0 && Int(id) < kinds.count ? kinds[Int(id)] : .none }

  func isSpecial(_ id: Int32) -> Bool { kind(of: id) == .special || kind(of: id) == .specialByte }

  @inline(__always)
  func isByte(_ id: Int32) -> Bool { kind(of: id) == .byte || kind(of: id) == .specialByte }

  /// The id's kind must not be `none`.
  @inline(__always)
  func appendText(of id: Int32, to result: inout [UInt8]) {
    let start = Int(starts[Int(id)])
    let end = Int(starts[Int(id) + 1])
    result.append(bytes.span.extracting(start..<end))
  }

  @inline(__always)
  func isText(_ id: Int32, _ skipSpecialTokens: Bool) -> Bool {
    switch kind(of: id) {
    case .none: false
    case .special, .specialByte: !skipSpecialTokens
    case .text, .byte: true
    }
  }

  /// The texts of these tokens, one behind the other.
  func joined(_ ids: [Int32], skipSpecialTokens: Bool) -> [UInt8] {
    var total = 0
    for id in ids where isText(id, skipSpecialTokens) {
      total += Int(starts[Int(id) + 1] &- starts[Int(id)])
    }
    return unsafe bytes.withUnsafeBufferPointer { source in
      unsafe [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
        for id in ids where isText(id, skipSpecialTokens) {
          let start = Int(starts[Int(id)])
          let length = Int(starts[Int(id) + 1]) - start
          for offset in 0..<length { unsafe buffer[count + offset] = source[start + offset] }
          count += length
        }
      }
    }
  }

  func text(of id: Int32) -> [UInt8] {
    var text: [UInt8] = []
    if kind(of: id) != .none { appendText(of: id, to: &text) }
    return text
  }
}

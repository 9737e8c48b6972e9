/// The four Unicode normalization forms (UAX #15), over bytes.
enum NormalizationForm: String, CaseIterable, Sendable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var composes: Bool { self == .nfc || self == .nfkc }
  private var isCompatible: Bool { self == .nfkc || self == .nfkd }

  /// The text in this form, or nil when it is in it already.
  /// - Complexity: O(bytes), but a run of n marks behind one letter is sorted in O(n log n).
  func normalize(_ text: Span<UInt8>) -> [UInt8]? {
    var start = 0
    while start < text.count, text[start] < 0x80 { start += 1 }
    if start == text.count { return nil }
    // Most text is in form C; a look at each scalar tells.
    if self == .nfc, !Self.mayChange(text, from: start) { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 8)
    var segment: [UInt32] = []
    var place = 0
    while place < text.count {
      let (scalar, length) = UTF8Scalar.decode(text, at: place)
      place += length
      let first = segment.count
      if isCompatible {
        Self.appendCompatible(scalar, to: &segment)
      } else {
        Self.appendCanonical(scalar, to: &segment)
      }
      // What begins with a starter that joins nothing before it can be finished apart from what follows.
      if first > 0, Self.isBoundary(segment[first]) {
        flush(segment[..<first], to: &result)
        segment.removeFirst(first)
      }
    }
    flush(segment[...], to: &result)
    return result
  }

  private func flush(_ segment: ArraySlice<UInt32>, to result: inout [UInt8]) {
    if segment.count < 2 {
      for scalar in segment { UTF8Scalar.append(scalar, to: &result) }
      return
    }
    var scalars = Self.ordered(Array(segment))
    if composes { Self.compose(&scalars) }
    for scalar in scalars { UTF8Scalar.append(scalar, to: &result) }
  }

  /// Brings each run of marks into canonical order, by combining class; equal classes keep their order.
  private static func ordered(_ scalars: [UInt32]) -> [UInt32] {
    var result = scalars
    var start = 0
    while start < result.count {
      if combiningClass(result[start]) == 0 {
        start += 1
        continue
      }
      var end = start
      while end < result.count, combiningClass(result[end]) != 0 { end += 1 }
      let marks = result[start..<end].enumerated().sorted { a, b in
        (combiningClass(a.element), a.offset) < (combiningClass(b.element), b.offset)
      }
      for (index, mark) in marks.enumerated() { result[start + index] = mark.element }
      start = end
    }
    return result
  }

  private static func compose(_ scalars: inout [UInt32]) {
    var starter = -1
    var lastClass: UInt8 = 0
    var kept = 0
    for index in scalars.indices {
      let scalar = scalars[index]
      let current = combiningClass(scalar)
      // A mark is blocked from the starter by one between them of no lower class.
      let isBlocked = starter >= 0 && starter != kept - 1 && (lastClass >= current)
      if starter >= 0, !isBlocked, let composite = NormalizationData.composite(scalars[starter], scalar) {
        scalars[starter] = composite
        continue
      }
      if current == 0 { starter = kept }
      lastClass = current
      scalars[kept] = scalar
      kept += 1
    }
    scalars.removeLast(scalars.count - kept)
  }
}

// MARK: Scalars

extension NormalizationForm {
  private static func mayChange(_ text: Span<UInt8>, from start: Int) -> Bool {
    let unstable = NormalizationData.unstable
    var place = start
    while place < text.count {
      let (scalar, length) = UTF8Scalar.decode(text, at: place)
      if scalar >= 0x300 {
        if scalar >= NormalizationData.end || unstable[Int(scalar >> 5)] >> (scalar & 31) & 1 != 0 {
          return true
        }
      }
      place += length
    }
    return false
  }

  /// Whether a decomposition that begins with this scalar is independent of what stands before it.
  private static func isBoundary(_ scalar: UInt32) -> Bool {
    combiningClass(scalar) == 0 && !NormalizationData.joinsBackwards(scalar)
  }

  private static func combiningClass(_ scalar: UInt32) -> UInt8 {
    scalar < 0x300 ? 0 : NormalizationData.combiningClass(scalar)
  }

  private static func appendCanonical(_ scalar: UInt32, to result: inout [UInt32]) {
    if scalar < 0xC0 { return result.append(scalar) }
    if Hangul.appendJamo(of: scalar, to: &result) { return }
    if let mapping = NormalizationData.canonical[scalar] {
      result.append(contentsOf: mapping)
    } else {
      result.append(scalar)
    }
  }

  private static func appendCompatible(_ scalar: UInt32, to result: inout [UInt32]) {
    if scalar >= 0xA0, let mapping = NormalizationData.compatible[scalar] {
      result.append(contentsOf: mapping)
    } else {
      appendCanonical(scalar, to: &result)
    }
  }
}

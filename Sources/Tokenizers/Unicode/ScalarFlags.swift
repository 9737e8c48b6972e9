/// The classes of characters that pipeline stages ask for, as the Hugging Face library draws their borders.
struct ScalarFlags: OptionSet, Sendable {
  let rawValue: UInt8

  static let letter = ScalarFlags(rawValue: 1)
  static let number = ScalarFlags(rawValue: 2)
  /// `\w`: letters, marks, decimal digits, connecting punctuation, joiners.
  static let word = ScalarFlags(rawValue: 4)
  static let punctuation = ScalarFlags(rawValue: 8)
  /// What BERT's clean-up drops.
  static let control = ScalarFlags(rawValue: 16)
  /// Any numeric character, for the stage `Digits`.
  static let numeric = ScalarFlags(rawValue: 32)
  /// Combining marks, for the stage `StripAccents`.
  static let mark = ScalarFlags(rawValue: 64)
  /// Marks without width of their own, for BERT's accents.
  static let nonspacingMark = ScalarFlags(rawValue: 128)

  /// - Complexity: O(1) below U+20000, logarithmic above.
  static func of(_ scalar: UInt32) -> ScalarFlags {
    if scalar < UInt32(UnicodeTables.denseEnd) {
      return ScalarFlags(rawValue: UnicodeTables.denseFlags[Int(scalar)])
    }
    return UnicodeTables.sparseFlags(scalar)
  }

  /// The Unicode property White_Space.
  @inline(__always)
  static func isWhitespace(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x20, 0x09...0x0D, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }
}

/// The flags unpacked: a flat table for the lower planes, runs for the rest.
enum UnicodeTables {
  static let denseEnd = 0x2_0000

  static let denseFlags: [UInt8] = {
    var table: [UInt8] = []
    table.reserveCapacity(denseEnd)
    for run in runs where table.count < denseEnd {
      table.append(contentsOf: repeatElement(run.flags, count: min(run.count, denseEnd - table.count)))
    }
    return table
  }()

  private static let runs: [(count: Int, flags: UInt8)] = {
    var numbers = PackedNumbers(UnicodeData.classes)
    var runs: [(count: Int, flags: UInt8)] = []
    while let count = numbers.next(), let flags = numbers.next() {
      runs.append((Int(count), UInt8(truncatingIfNeeded: flags)))
    }
    return runs
  }()

  /// Ends of the runs above the dense table, ascending.
  private static let sparseRuns: [(end: UInt32, flags: UInt8)] = {
    var end = 0
    var sparse: [(end: UInt32, flags: UInt8)] = []
    for run in runs {
      end += run.count
      if end > denseEnd { sparse.append((UInt32(end), run.flags)) }
    }
    return sparse
  }()

  static func sparseFlags(_ scalar: UInt32) -> ScalarFlags {
    var low = 0
    var high = sparseRuns.count
    while low < high {
      let middle = (low + high) / 2
      if sparseRuns[middle].end <= scalar { low = middle + 1 } else { high = middle }
    }
    return low < sparseRuns.count ? ScalarFlags(rawValue: sparseRuns[low].flags) : []
  }
}

/// Reads the numbers of `UnicodeData`.
struct PackedNumbers {
  private let text: StaticString
  private var place = 0

  init(_ text: StaticString) { self.text = text }

  mutating func next() -> UInt32? {
    var number: UInt32 = 0
    var shift: UInt32 = 0
    while place < text.utf8CodeUnitCount {
      let byte = unsafe text.utf8Start[place]
      place += 1
      if byte < 0x30 { continue }
      let digit = UInt32(byte - 0x30)
      number |= (digit & 31) << shift
      if digit < 32 { return number }
      shift += 5
    }
    return nil
  }
}

/// Decompositions, compositions and combining classes, unpacked at their first use.
enum NormalizationData {
  /// Scalars from here on are neither marks nor decomposed, but for the CJK compatibility ideographs.
  static let end: UInt32 = 0x2_0000

  static let canonical: [UInt32: [UInt32]] = tables.canonical
  static let compatible: [UInt32: [UInt32]] = {
    var numbers = PackedNumbers(UnicodeData.compatible)
    var mappings: [UInt32: [UInt32]] = [:]
    var scalar: UInt32 = 0
    while let distance = numbers.next(), let count = numbers.next() {
      scalar += distance
      mappings[scalar] = (0..<count).compactMap { _ in numbers.next() }
    }
    return mappings
  }()

  static func combiningClass(_ scalar: UInt32) -> UInt8 {
    scalar < UInt32(combiningClasses.count) ? combiningClasses[Int(scalar)] : 0
  }

  /// What two scalars become in the composed forms.
  static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    Hangul.composite(first, second) ?? tables.composites[UInt64(first) << 32 | UInt64(second)]
  }

  /// Whether a scalar is the second of some composition.
  static func joinsBackwards(_ scalar: UInt32) -> Bool {
    scalar >= 0x300 && (tables.seconds.contains(scalar) || Hangul.joinsBackwards(scalar))
  }

  /// By scalar below `end`, one bit: whether form C may have to change a text that holds it.
  static let unstable: [UInt32] = {
    var bits = [UInt32](repeating: 0, count: Int(end >> 5))
    func mark(_ scalar: UInt32) {
      if scalar < end { bits[Int(scalar >> 5)] |= 1 << (scalar & 31) }
    }
    for (scalar, mapping) in canonical where !tables.composed.contains(scalar) || mapping.isEmpty {
      mark(scalar)
    }
    for scalar in tables.seconds { mark(scalar) }
    for (scalar, value) in combiningClasses.enumerated() where value != 0 { mark(UInt32(scalar)) }
    for scalar in Hangul.medialsAndFinals { mark(scalar) }
    return bits
  }()

  private static let combiningClasses: [UInt8] = {
    var numbers = PackedNumbers(UnicodeData.combiningClasses)
    var classes: [UInt8] = []
    while let count = numbers.next(), let value = numbers.next() {
      classes.append(contentsOf: repeatElement(UInt8(truncatingIfNeeded: value), count: Int(count)))
    }
    return classes
  }()

  private struct Tables: Sendable {
    var canonical: [UInt32: [UInt32]] = [:]
    /// (first, second) → composite.
    var composites: [UInt64: UInt32] = [:]
    var composed: Set<UInt32> = []
    var seconds: Set<UInt32> = []
  }

  private static let tables: Tables = {
    var tables = Tables()
    var numbers = PackedNumbers(UnicodeData.canonical)
    var composing: [(scalar: UInt32, mapping: [UInt32])] = []
    var scalar: UInt32 = 0
    while let distance = numbers.next(), let head = numbers.next() {
      scalar += distance
      let mapping = (0..<head >> 1).compactMap { _ in numbers.next() }
      tables.canonical[scalar] = mapping
      if head & 1 == 1 { composing.append((scalar, mapping)) }
    }
    // A composite's first half is a shorter composite, or one scalar.
    composing.sort { $0.mapping.count < $1.mapping.count }
    for (scalar, mapping) in composing {
      guard let last = mapping.last, var first = mapping.first else { continue }
      for next in mapping.dropFirst().dropLast() {
        first = tables.composites[UInt64(first) << 32 | UInt64(next)] ?? first
      }
      tables.composites[UInt64(first) << 32 | UInt64(last)] = scalar
      tables.composed.insert(scalar)
      tables.seconds.insert(last)
    }
    return tables
  }()
}

/// Korean syllables are composed by arithmetic (Unicode standard, 3.12).
enum Hangul {
  private static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  private static let initials: Range<UInt32> = 0x1100..<0x1113
  private static let medials: Range<UInt32> = 0x1161..<0x1176
  /// U+11A7 stands for "no final" and is none itself.
  private static let finals: Range<UInt32> = 0x11A8..<0x11C3
  private static let finalCount: UInt32 = 28
  private static let medialCount: UInt32 = 21

  static var medialsAndFinals: [UInt32] { Array(medials) + Array(finals) }

  static func joinsBackwards(_ scalar: UInt32) -> Bool { medials.contains(scalar) || finals.contains(scalar) }

  static func appendJamo(of scalar: UInt32, to result: inout [UInt32]) -> Bool {
    guard syllables.contains(scalar) else { return false }
    let index = scalar - syllables.lowerBound
    let final = index % finalCount
    result.append(initials.lowerBound + index / finalCount / medialCount)
    result.append(medials.lowerBound + index / finalCount % medialCount)
    if final > 0 { result.append(finals.lowerBound + final - 1) }
    return true
  }

  static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if initials.contains(first), medials.contains(second) {
      let initial = first - initials.lowerBound
      let medial = second - medials.lowerBound
      return syllables.lowerBound + (initial * medialCount + medial) * finalCount
    }
    if syllables.contains(first), (first - syllables.lowerBound) % finalCount == 0, finals.contains(second) {
      return first + second - finals.lowerBound + 1
    }
    return nil
  }
}

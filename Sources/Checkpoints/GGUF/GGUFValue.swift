/// A metadata value of a GGUF file, with the type it was stored as.
package enum GGUFValue: Sendable, Equatable {
  case uint8(UInt8), int8(Int8), uint16(UInt16), int16(Int16), uint32(UInt32), int32(Int32)
  case float32(Float)
  case bool(Bool)
  /// UTF-8 by the format, but tokens of byte-level vocabularies may hold any bytes.
  case string([UInt8])
  case array(GGUFArray)
  case uint64(UInt64), int64(Int64)
  case float64(Double)

  /// The integer, whatever its width, where it fits `Int`.
  package var int: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(value)
    case .float32, .float64, .bool, .string, .array: nil
    }
  }

  package var double: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    default: nil
    }
  }

  /// A short text for messages and listings; arrays by their length.
  package var summary: String {
    switch self {
    case .uint8, .int8, .uint16, .int16, .uint32, .int32, .int64: int.map(String.init) ?? ""
    case .uint64(let value): "\(value)"
    case .float32(let value): "\(value)"
    case .float64(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let bytes):
      "\"" + String(decoding: bytes.prefix(80), as: UTF8.self) + (bytes.count > 80 ? "…\"" : "\"")
    case .array(let array): "an array of \(array.count) \(array.elementName)"
    }
  }
}

/// A metadata array: one type for all elements, held in one allocation where that type allows it.
package indirect enum GGUFArray: Sendable, Equatable {
  case uint8([UInt8]), int8([Int8]), uint16([UInt16]), int16([Int16]), uint32([UInt32]), int32([Int32])
  case float32([Float])
  case bool([Bool])
  case strings(GGUFStrings)
  case arrays([GGUFArray])
  case uint64([UInt64]), int64([Int64])
  case float64([Double])

  package var count: Int {
    switch self {
    case .uint8(let values): values.count
    case .int8(let values): values.count
    case .uint16(let values): values.count
    case .int16(let values): values.count
    case .uint32(let values): values.count
    case .int32(let values): values.count
    case .float32(let values): values.count
    case .bool(let values): values.count
    case .strings(let values): values.count
    case .arrays(let values): values.count
    case .uint64(let values): values.count
    case .int64(let values): values.count
    case .float64(let values): values.count
    }
  }

  /// The elements of an integer array; nil for other types and for what does not fit.
  package var ints: [Int]? {
    switch self {
    case .uint8(let values): values.map { Int($0) }
    case .int8(let values): values.map { Int($0) }
    case .uint16(let values): values.map { Int($0) }
    case .int16(let values): values.map { Int($0) }
    case .uint32(let values): values.map { Int($0) }
    case .int32(let values): values.map { Int($0) }
    case .int64(let values): values.map { Int($0) }
    case .uint64(let values): values.allSatisfy { $0 <= UInt64(Int.max) } ? values.map { Int($0) } : nil
    case .float32, .float64, .bool, .strings, .arrays: nil
    }
  }

  var elementName: String {
    switch self {
    case .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64: "integers"
    case .float32, .float64: "floats"
    case .bool: "bools"
    case .strings: "strings"
    case .arrays: "arrays"
    }
  }
}

/// Many strings in one allocation; a vocabulary has a hundred thousand.
package struct GGUFStrings: Sendable, Equatable, RandomAccessCollection {
  private var bytes: [UInt8] = []
  /// Where each string ends in `bytes`.
  private var ends: [Int] = []

  package init() {}

  package init(_ strings: some Sequence<String>) {
    for string in strings { append(string.utf8) }
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { ends.count }

  /// The bytes of one string; UTF-8 by the format, not checked.
  package subscript(index: Int) -> [UInt8] {
    [UInt8](bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]])
  }

  package mutating func append(_ string: some Sequence<UInt8>) {
    bytes.append(contentsOf: string)
    ends.append(bytes.count)
  }

  mutating func reserve(strings: Int) { ends.reserveCapacity(strings) }
}

/// The key-value part of a GGUF file, with typed access.
///
/// Accessors return nil for a missing key and throw `wrongType` for one of another type.
package struct GGUFMetadata: Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    package let key: String
    package let value: GGUFValue

    package init(key: String, value: GGUFValue) {
      self.key = key
      self.value = value
    }
  }

  /// In the order of the file.
  package private(set) var items: [Item] = []
  private var places: [String: Int] = [:]

  package init() {}

  /// False, and nothing is changed, when the key is there already.
  package mutating func insert(_ key: String, _ value: GGUFValue) -> Bool {
    guard places[key] == nil else { return false }
    places[key] = items.count
    items.append(Item(key: key, value: value))
    return true
  }

  package subscript(key: String) -> GGUFValue? { places[key].map { items[$0].value } }

  /// An integer of any width.
  package func int(_ key: String) throws(GGUFError) -> Int? {
    try read(key, "an integer") { $0.int }
  }

  /// A float of either width, or an integer.
  package func double(_ key: String) throws(GGUFError) -> Double? {
    try read(key, "a number") { value in value.double ?? value.int.map(Double.init) }
  }

  package func bool(_ key: String) throws(GGUFError) -> Bool? {
    try read(key, "a bool") { value in
      if case .bool(let flag) = value { flag } else { nil }
    }
  }

  /// Text; bytes that are not UTF-8 are an error.
  package func string(_ key: String) throws(GGUFError) -> String? {
    try read(key, "UTF-8 text") { value in
      if case .string(let bytes) = value { String(validating: bytes, as: UTF8.self) } else { nil }
    }
  }

  package func strings(_ key: String) throws(GGUFError) -> GGUFStrings? {
    try read(key, "an array of strings") { value in
      if case .array(.strings(let strings)) = value { strings } else { nil }
    }
  }

  package func ints(_ key: String) throws(GGUFError) -> [Int]? {
    try read(key, "an array of integers") { value in
      if case .array(let array) = value { array.ints } else { nil }
    }
  }

  package func floats(_ key: String) throws(GGUFError) -> [Float]? {
    try read(key, "an array of floats") { value in
      switch value {
      case .array(.float32(let floats)): floats
      case .array(.float64(let doubles)): doubles.map { Float($0) }
      default: nil
      }
    }
  }

  private func read<Value>(
    _ key: String, _ expected: String, _ convert: (GGUFValue) -> Value?
  ) throws(GGUFError) -> Value? {
    guard let stored = self[key] else { return nil }
    guard let value = convert(stored) else {
      throw .wrongType(key: key, found: stored.summary, expected: expected)
    }
    return value
  }
}

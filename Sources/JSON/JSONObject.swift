/// The members of a JSON object in the order they were written.
///
/// Keys are compared by their UTF-8 bytes. `String`'s own `==` treats canonically equivalent text as equal,
/// which would merge distinct keys (two spellings of "é" are two tokens of a vocabulary).
package struct JSONObject: Sendable {
  package private(set) var keys: [String] = []
  package private(set) var values: [JSONValue] = []
  /// Places by key, kept only where a linear search would be slow.
  private var places: [ByteKey: Int]?

  private static let linearSearchLimit = 12

  package init() {}

  /// Of two pairs with one key the last value counts, at the first's place.
  package init(_ pairs: some Sequence<(String, JSONValue)>) {
    for (key, value) in pairs { self[key] = value }
  }

  package var count: Int { keys.count }
  package var isEmpty: Bool { keys.isEmpty }

  /// - Complexity: O(1) on average.
  package subscript(key: String) -> JSONValue? {
    get { place(of: key).map { values[$0] } }
    set {
      if let newValue { updateValue(newValue, forKey: key) } else { removeValue(forKey: key) }
    }
  }

  /// Sets a member, at its old place or at the end, and returns the value it had.
  @discardableResult
  package mutating func updateValue(_ value: JSONValue, forKey key: String) -> JSONValue? {
    guard let place = place(of: key) else {
      append(key, value)
      return nil
    }
    let old = values[place]
    values[place] = value
    return old
  }

  /// - Complexity: O(count).
  @discardableResult
  package mutating func removeValue(forKey key: String) -> JSONValue? {
    guard let place = place(of: key) else { return nil }
    keys.remove(at: place)
    defer { if places != nil { indexPlaces() } }
    return values.remove(at: place)
  }

  package mutating func reserveCapacity(_ capacity: Int) {
    keys.reserveCapacity(capacity)
    values.reserveCapacity(capacity)
  }

  package func contains(_ key: String) -> Bool { place(of: key) != nil }

  private func place(of key: String) -> Int? {
    if let places { return places[ByteKey(key)] }
    return keys.firstIndex { $0.hasSameBytes(as: key) }
  }

  private mutating func append(_ key: String, _ value: JSONValue) {
    places?[ByteKey(key)] = keys.count
    keys.append(key)
    values.append(value)
    if places == nil, keys.count > Self.linearSearchLimit { indexPlaces() }
  }

  private mutating func indexPlaces() {
    var places = [ByteKey: Int](minimumCapacity: keys.count * 2)
    for (place, key) in keys.enumerated() { places[ByteKey(key)] = place }
    self.places = places
  }
}

extension JSONObject {
  /// A string that is equal to another only when their bytes are.
  private struct ByteKey: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: ByteKey, b: ByteKey) -> Bool { a.text.hasSameBytes(as: b.text) }

    func hash(into hasher: inout Hasher) {
      // Equal bytes hash alike; that canonical equivalents do too costs nothing.
      hasher.combine(text)
    }
  }
}

extension JSONObject: Sequence {
  package func makeIterator() -> some IteratorProtocol<(key: String, value: JSONValue)> {
    zip(keys, values).lazy.map { (key: $0, value: $1) }.makeIterator()
  }
}

extension JSONObject: Equatable {
  /// The order of members does not count.
  package static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.allSatisfy { b[$0.key] == $0.value }
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  package init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

extension String {
  /// Equality of the UTF-8 bytes; `==` would compare up to canonical equivalence.
  package func hasSameBytes(as other: String) -> Bool {
    utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
  }
}

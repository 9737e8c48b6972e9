extension JSONValue {
  /// The tree of a whole document. Constant stack space, whatever the input.
  package static func parse(_ bytes: [UInt8], limits: JSONLimits = .default) throws(JSONError) -> JSONValue {
    var scanner = try JSONScanner(bytes, limits: limits)
    let value = try scanner.value()
    try scanner.finish()
    return value
  }

  package static func parse(_ text: String, limits: JSONLimits = .default) throws(JSONError) -> JSONValue {
    try parse(Array(text.utf8), limits: limits)
  }

  package static func parse(_ bytes: Span<UInt8>, limits: JSONLimits = .default) throws(JSONError)
    -> JSONValue
  {
    guard bytes.count <= limits.maxBytes else { throw JSONError(tooLongFor: limits) }
    let copy = [UInt8](capacity: bytes.count) { output in
      for index in bytes.indices { output.append(bytes[index]) }
    }
    return try parse(copy, limits: limits)
  }

  package static func parse(
    _ bytes: UnsafeRawBufferPointer, limits: JSONLimits = .default
  ) throws(JSONError) -> JSONValue {
    guard bytes.count <= limits.maxBytes else { throw JSONError(tooLongFor: limits) }
    return try unsafe parse([UInt8](bytes), limits: limits)
  }
}

extension JSONScanner {
  /// Reads one value as a tree.
  package mutating func value() throws(JSONError) -> JSONValue {
    var unfinished = UnfinishedContainers()
    while true {
      var value: JSONValue
      switch try peekKind() {
      case .null:
        try null()
        value = .null
      case .bool: value = .bool(try bool())
      case .number:
        value =
          switch try number() {
          case .integer(let integer): .integer(integer)
          case .double(let double): .double(double)
          }
      case .string: value = .string(try string())
      case .array:
        try beginArray()
        unfinished.open(isObject: false)
        if try nextElement() { continue }
        value = .array(unfinished.closeArray())
      case .object:
        try beginObject()
        unfinished.open(isObject: true)
        if try nextMember(of: &unfinished) { continue }
        value = try closeObject(of: &unfinished)
      }
      while true {
        if unfinished.isEmpty { return value }
        unfinished.values.append(value)
        if unfinished.lastIsObject {
          if try nextMember(of: &unfinished) { break }
          value = try closeObject(of: &unfinished)
        } else {
          if try nextElement() { break }
          value = .array(unfinished.closeArray())
        }
      }
    }
  }

  private mutating func nextMember(of unfinished: inout UnfinishedContainers) throws(JSONError) -> Bool {
    guard let key = try nextKey() else { return false }
    unfinished.keys.append(key)
    return true
  }

  private func closeObject(of unfinished: inout UnfinishedContainers) throws(JSONError) -> JSONValue {
    let (keys, values) = unfinished.closeObject()
    var object = JSONObject()
    object.reserveCapacity(keys.count)
    for (key, value) in zip(keys, values) {
      let replaced = object.updateValue(value, forKey: key)
      if replaced != nil, limits.duplicateKeys == .refuse {
        throw error(.duplicateKey(key), at: position - 1)
      }
    }
    return .object(object)
  }
}

/// The keys and values read so far of all open containers, flat:
///
///     {"a": 1, "b": [2, 3          keys  a b
///     0        1     1             values  1 2 3      starts: object at (key 0, value 0), array at value 1
private struct UnfinishedContainers {
  var values: [JSONValue] = []
  var keys: [String] = []
  private var starts: [(isObject: Bool, key: Int, value: Int)] = []

  var isEmpty: Bool { starts.isEmpty }
  var lastIsObject: Bool { starts.last?.isObject ?? false }

  mutating func open(isObject: Bool) {
    starts.append((isObject, keys.count, values.count))
  }

  mutating func closeArray() -> [JSONValue] {
    let start = starts.removeLast().value
    defer { values.removeSubrange(start...) }
    return Array(values[start...])
  }

  mutating func closeObject() -> (keys: [String], values: [JSONValue]) {
    let start = starts.removeLast()
    defer {
      keys.removeSubrange(start.key...)
      values.removeSubrange(start.value...)
    }
    return (Array(keys[start.key...]), Array(values[start.value...]))
  }
}

extension JSONValue {
  package func serialized(_ format: JSONFormat = .compact) -> String {
    var bytes: [UInt8] = []
    write(into: &bytes, format)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends the text to `bytes`.
  package func write(into bytes: inout [UInt8], _ format: JSONFormat = .compact) {
    write(into: &bytes, format, depth: 0)
  }

  private func write(into bytes: inout [UInt8], _ format: JSONFormat, depth: Int) {
    switch self {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): JSONText.append(value, to: &bytes)
    case .double(let value): JSONText.append(value, to: &bytes)
    case .string(let value): format.append(quoted: value, to: &bytes)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        format.startItem(index, depth: depth + 1, in: &bytes)
        element.write(into: &bytes, format, depth: depth + 1)
      }
      if !elements.isEmpty { format.startLine(depth: depth, in: &bytes) }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      for (index, (key, value)) in format.ordered(members).enumerated() {
        format.startItem(index, depth: depth + 1, in: &bytes)
        format.append(quoted: key, to: &bytes)
        bytes.append(contentsOf: format.keySeparator.utf8)
        value.write(into: &bytes, format, depth: depth + 1)
      }
      if !members.isEmpty { format.startLine(depth: depth, in: &bytes) }
      bytes.append(UInt8(ascii: "}"))
    }
  }
}

extension JSONFormat {
  fileprivate func startItem(_ index: Int, depth: Int, in bytes: inout [UInt8]) {
    if index > 0 { bytes.append(contentsOf: itemSeparator.utf8) }
    startLine(depth: depth, in: &bytes)
  }

  fileprivate func startLine(depth: Int, in bytes: inout [UInt8]) {
    guard let indent else { return }
    bytes.append(UInt8(ascii: "\n"))
    for _ in 0..<depth { bytes.append(contentsOf: indent.utf8) }
  }

  fileprivate func append(quoted text: String, to bytes: inout [UInt8]) {
    if escapesNonASCII {
      JSONText.append(quotedASCII: text, to: &bytes)
    } else {
      JSONText.append(quoted: text, to: &bytes)
    }
  }

  fileprivate func ordered(_ members: JSONObject) -> [(key: String, value: JSONValue)] {
    let members = members.map { $0 }
    guard sortKeys else { return members }
    return members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
  }
}

/// How a tree is laid out as text. The options are those of Python's `json.dumps`.
package struct JSONFormat: Sendable, Equatable {
  /// What one level is indented by; nil writes everything on one line.
  package var indent: String?
  package var itemSeparator: String
  package var keySeparator: String
  /// Orders members by the bytes (which is by the code points) of their keys.
  package var sortKeys: Bool
  /// Writes all but ASCII as `\uXXXX`.
  package var escapesNonASCII: Bool

  package init(
    indent: String? = nil, itemSeparator: String = ",", keySeparator: String = ":", sortKeys: Bool = false,
    escapesNonASCII: Bool = false
  ) {
    self.indent = indent
    self.itemSeparator = itemSeparator
    self.keySeparator = keySeparator
    self.sortKeys = sortKeys
    self.escapesNonASCII = escapesNonASCII
  }

  /// No white space: `{"a":[1,2]}`.
  package static let compact = JSONFormat()
  /// Two spaces a level.
  package static let pretty = JSONFormat(indent: "  ", keySeparator: ": ")
  /// What `json.dumps(x, ensure_ascii=False)` prints: `{"a": [1, 2]}`.
  package static let python = JSONFormat(itemSeparator: ", ", keySeparator: ": ")
}

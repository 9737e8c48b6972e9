/// Writes JSON into a byte array as it goes, with no tree between.
///
/// Commas and colons are put where they belong; that keys stand in objects only, and that what is begun is
/// ended, is the caller's part.
///
///     var writer = JSONWriter()
///     writer.beginObject()
///     writer.key("id"); writer.string("cmpl-1")
///     writer.key("choices"); writer.beginArray(); … writer.endArray()
///     writer.endObject()
///     send(writer.bytes)
package struct JSONWriter: Sendable {
  package private(set) var bytes: [UInt8]
  private var needsComma = false

  /// Goes on behind `bytes`; give an emptied buffer back here to reuse its memory.
  package init(appendingTo bytes: consuming [UInt8] = []) {
    self.bytes = bytes
  }

  package mutating func beginObject() {
    separate()
    bytes.append(UInt8(ascii: "{"))
    needsComma = false
  }

  package mutating func endObject() {
    bytes.append(UInt8(ascii: "}"))
    needsComma = true
  }

  package mutating func beginArray() {
    separate()
    bytes.append(UInt8(ascii: "["))
    needsComma = false
  }

  package mutating func endArray() {
    bytes.append(UInt8(ascii: "]"))
    needsComma = true
  }

  package mutating func key(_ key: String) {
    separate()
    JSONText.append(quoted: key, to: &bytes)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  package mutating func null() {
    beginScalar()
    bytes.append(contentsOf: "null".utf8)
  }

  package mutating func bool(_ value: Bool) {
    beginScalar()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  package mutating func integer(_ value: some FixedWidthInteger) {
    beginScalar()
    JSONText.append(value, to: &bytes)
  }

  /// The shortest text that reads back as the same value; `null` for infinities and NaN, as JSON has none.
  package mutating func double(_ value: Double) {
    beginScalar()
    JSONText.append(value, to: &bytes)
  }

  /// The shortest text that reads back as the same `Float`; `null` for infinities and NaN.
  package mutating func float(_ value: Float) {
    beginScalar()
    JSONText.append(value, to: &bytes)
  }

  package mutating func string(_ value: String) {
    beginScalar()
    JSONText.append(quoted: value, to: &bytes)
  }

  package mutating func value(_ value: JSONValue) {
    beginScalar()
    value.write(into: &bytes)
  }

  /// A value that is JSON text already; not checked.
  package mutating func raw(_ json: some Sequence<UInt8>) {
    beginScalar()
    bytes.append(contentsOf: json)
  }

  /// Bytes outside the document, such as the `data: ` before and the blank line behind an event. What follows
  /// starts a new document.
  package mutating func literal(_ text: String) {
    bytes.append(contentsOf: text.utf8)
    needsComma = false
  }

  package mutating func removeAll(keepingCapacity: Bool = true) {
    bytes.removeAll(keepingCapacity: keepingCapacity)
    needsComma = false
  }

  private mutating func beginScalar() {
    separate()
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
  }
}

extension JSONWriter {
  package mutating func member(_ key: String, _ value: String) {
    self.key(key)
    string(value)
  }

  package mutating func member(_ key: String, _ value: some FixedWidthInteger) {
    self.key(key)
    integer(value)
  }

  package mutating func member(_ key: String, _ value: Double) {
    self.key(key)
    double(value)
  }

  package mutating func member(_ key: String, _ value: Bool) {
    self.key(key)
    bool(value)
  }

  package mutating func member(_ key: String, _ value: JSONValue) {
    self.key(key)
    self.value(value)
  }
}

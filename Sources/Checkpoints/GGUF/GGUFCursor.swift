/// Reads little-endian numbers and counted strings one after another, checking each against the end.
@safe
struct GGUFCursor {
  private let bytes: UnsafeRawBufferPointer
  let fileSize: Int
  private(set) var position = 0

  /// - Precondition: `bytes` stays valid while the cursor is used.
  init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = bytes
    fileSize = bytes.count
  }

  var remaining: Int { fileSize - position }

  mutating func integer<Number: FixedWidthInteger>(
    _ type: Number.Type = Number.self, _ field: @autoclosure () -> String
  ) throws(GGUFError) -> Number {
    let size = MemoryLayout<Number>.size
    guard size <= remaining else { throw truncated(field()) }
    defer { position += size }
    return unsafe Number(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: type))
  }

  mutating func float(_ field: @autoclosure () -> String) throws(GGUFError) -> Float {
    Float(bitPattern: try integer(UInt32.self, field()))
  }

  mutating func double(_ field: @autoclosure () -> String) throws(GGUFError) -> Double {
    Double(bitPattern: try integer(UInt64.self, field()))
  }

  /// A u64 count of things that take at least `minimumBytes` each, so that no allocation exceeds the file.
  mutating func count(
    minimumBytes: Int, _ field: @autoclosure () -> String
  ) throws(GGUFError) -> Int {
    let place = position
    let count = try integer(UInt64.self, field())
    guard let fitting = Int(exactly: count), fitting <= remaining / minimumBytes else {
      throw .countTooLarge(field: field(), count: count, offset: place)
    }
    return fitting
  }

  /// A u64 length and as many bytes. The slice borrows the file.
  @unsafe
  mutating func string(_ field: @autoclosure () -> String) throws(GGUFError) -> UnsafeRawBufferPointer {
    let length = try count(minimumBytes: 1, "the length of " + field())
    defer { position += length }
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
  }

  mutating func text(_ field: @autoclosure () -> String) throws(GGUFError) -> String {
    let place = position + 8
    guard let text = try unsafe String(validating: string(field()), as: UTF8.self) else {
      throw .notUTF8(field: field(), offset: place)
    }
    return text
  }

  /// `count` fixed-size numbers, checked by `count(minimumBytes:)` before.
  mutating func integers<Number: FixedWidthInteger>(
    _ type: Number.Type, count: Int, _ field: @autoclosure () -> String
  ) throws(GGUFError) -> [Number] {
    let size = MemoryLayout<Number>.size
    guard count <= remaining / size else { throw truncated(field()) }
    defer { position += count * size }
    let start = position
    return (0..<count).map { index in
      unsafe Number(littleEndian: bytes.loadUnaligned(fromByteOffset: start + index * size, as: type))
    }
  }

  private func truncated(_ field: String) -> GGUFError {
    .truncated(field: field, offset: position, fileSize: fileSize)
  }
}

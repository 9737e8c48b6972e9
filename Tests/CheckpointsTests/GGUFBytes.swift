import Checkpoints

/// Builds GGUF files byte by byte, so that tests do not depend on the writer and can say what it would not.
struct GGUFBytes {
  var bytes: [UInt8] = []

  init(version: UInt32 = 3, tensors: UInt64, items: UInt64) {
    bytes = Array("GGUF".utf8)
    add(version)
    add(tensors)
    add(items)
  }

  mutating func add(_ number: some FixedWidthInteger) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  mutating func add(_ text: String) {
    add(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func item(_ key: String, type: UInt32) {
    add(key)
    add(type)
  }

  /// A tensor of the file's directory; extents fastest first.
  mutating func tensor(_ name: String, _ extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
    add(name)
    add(UInt32(extents.count))
    for extent in extents { add(extent) }
    add(type)
    add(offset)
  }

  mutating func pad(to alignment: Int = 32) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  func parse() throws(GGUFError) -> GGUFFile { try Self.parse(bytes) }

  static func parse(_ bytes: [UInt8]) throws(GGUFError) -> GGUFFile {
    try unsafe bytes.span.withUnsafeBytes { (raw) throws(GGUFError) in try unsafe GGUFFile.parse(bytes: raw) }
  }

  /// Each value type once, a nested array, and two tensors with their data.
  static var sample: [UInt8] {
    var file = GGUFBytes(tensors: 2, items: 14)
    file.item("u8", type: 0)
    file.add(UInt8(200))
    file.item("i8", type: 1)
    file.add(Int8(-3))
    file.item("u16", type: 2)
    file.add(UInt16(50_000))
    file.item("i16", type: 3)
    file.add(Int16(-2))
    file.item("u32", type: 4)
    file.add(UInt32(4_000_000_000))
    file.item("i32", type: 5)
    file.add(Int32(-5))
    file.item("f32", type: 6)
    file.add(Float(0.5).bitPattern)
    file.item("bool", type: 7)
    file.add(UInt8(1))
    file.item("text", type: 8)
    file.add("grüße")
    file.item("u64", type: 10)
    file.add(UInt64.max)
    file.item("i64", type: 11)
    file.add(Int64.min)
    file.item("f64", type: 12)
    file.add((-1.25).bitPattern)
    file.item("words", type: 9)
    file.add(UInt32(8))
    file.add(UInt64(3))
    for word in ["a", "", "bc"] { file.add(word) }
    file.item("nested", type: 9)
    file.add(UInt32(9))
    file.add(UInt64(2))
    file.add(UInt32(5))
    file.add(UInt64(2))
    file.add(Int32(1))
    file.add(Int32(-1))
    file.add(UInt32(7))
    file.add(UInt64(1))
    file.add(UInt8(0))
    file.tensor("first", [2, 3], offset: 0)
    file.tensor("second", [4], type: 1, offset: 32)
    file.pad()
    for value in 0..<6 { file.add(Float(value).bitPattern) }
    file.pad()
    for bits: UInt16 in [0x3C00, 0xC000, 0, 0x7BFF] { file.add(bits) }
    return file.bytes
  }
}

package import Numerics

/// The parsed directory of a GGUF file (ggml-org/ggml, docs/gguf.md), versions 2 and 3.
///
///     "GGUF" | version: u32 | tensor count: u64 | item count: u64
///     items:   key string | type: u32 | value            string = length: u64, bytes
///     tensors: name string | rank: u32 | extents: u64 … (fastest first) | type: u32 | offset: u64
///     padding to `general.alignment` | data; offsets count from here
package struct GGUFFile: Sendable, Equatable {
  package struct Tensor: Sendable, Equatable {
    package let name: String
    package let type: GGMLType
    /// Outermost first: the reverse of the order in the file.
    package let shape: [Int]
    /// From the start of the file.
    package let byteRange: Range<Int>
  }

  package let version: UInt32
  package let metadata: GGUFMetadata
  /// In the order of the file.
  package let tensors: [Tensor]
  package let alignment: Int
  package let dataOffset: Int

  package static let magic: [UInt8] = [0x47, 0x47, 0x55, 0x46]
  package static let defaultAlignment = 32
  /// More would only waste memory; real files use 32.
  package static let maximumAlignment = 1 << 20
  private static let deepestArray = 4
  /// Length, rank, type and offset of a tensor; length, type and value of an item.
  private static let smallestTensor = 8 + 4 + 4 + 8
  private static let smallestItem = 8 + 4 + 1

  /// Reads and checks everything but the data.
  ///
  /// - Parameter bytes: the whole file. It is not kept.
  package static func parse(bytes: UnsafeRawBufferPointer) throws(GGUFError) -> GGUFFile {
    var cursor = unsafe GGUFCursor(bytes)
    let magic = try cursor.integers(UInt8.self, count: 4, "the magic number")
    guard magic == Self.magic else { throw .badMagic }
    let version = try cursor.integer(UInt32.self, "the version")
    guard version == 2 || version == 3 else {
      throw version.byteSwapped <= 3 && version != 0 ? .bigEndian : .unsupportedVersion(version)
    }
    let tensorCount = try cursor.count(minimumBytes: smallestTensor, "the tensor count")
    let itemCount = try cursor.count(minimumBytes: smallestItem, "the metadata count")
    var metadata = GGUFMetadata()
    for index in 0..<itemCount {
      let key = try cursor.text("metadata key \(index)")
      let value = try readValue(key, &cursor)
      guard metadata.insert(key, value) else { throw .duplicateKey(key) }
    }
    let alignment = try readAlignment(metadata)
    var directory: [RawEntry] = []
    for index in 0..<tensorCount { directory.append(try readEntry(index, &cursor)) }
    // `position` is at most the size of an existing file, so this can't overflow.
    let dataOffset = (cursor.position + alignment - 1) / alignment * alignment
    var tensors: [Tensor] = []
    for entry in directory {
      tensors.append(
        try entry.placed(dataOffset: dataOffset, alignment: alignment, fileSize: cursor.fileSize))
    }
    try checkNames(tensors)
    try checkOverlap(tensors)
    return GGUFFile(
      version: version, metadata: metadata, tensors: tensors, alignment: alignment, dataOffset: dataOffset)
  }

  private static func readAlignment(_ metadata: GGUFMetadata) throws(GGUFError) -> Int {
    guard let value = try metadata.int("general.alignment") else { return defaultAlignment }
    guard value > 0, value <= maximumAlignment, value & (value - 1) == 0 else {
      throw .badAlignment(UInt64(clamping: value))
    }
    return value
  }

  private static func checkNames(_ tensors: [Tensor]) throws(GGUFError) {
    var names: Set<String> = []
    for tensor in tensors where !names.insert(tensor.name).inserted { throw .duplicateTensor(tensor.name) }
  }

  private static func checkOverlap(_ tensors: [Tensor]) throws(GGUFError) {
    let sorted = tensors.filter { !$0.byteRange.isEmpty }.sorted {
      $0.byteRange.lowerBound < $1.byteRange.lowerBound
    }
    for (first, second) in zip(sorted, sorted.dropFirst())
    where second.byteRange.lowerBound < first.byteRange.upperBound {
      throw .overlap(tensor: second.name, other: first.name)
    }
  }
}

// MARK: - Tensors

extension GGUFFile {
  /// An entry as it stands in the file, before its place is checked.
  private struct RawEntry {
    let name: String
    let type: GGMLType
    let shape: [Int]
    let byteCount: Int
    let offset: UInt64

    func placed(dataOffset: Int, alignment: Int, fileSize: Int) throws(GGUFError) -> Tensor {
      guard offset % UInt64(alignment) == 0 else {
        throw .misalignedTensor(tensor: name, offset: offset, alignment: alignment)
      }
      // An empty tensor may lie at the end of a file that was not padded up to there.
      let available = max(fileSize - dataOffset, 0)
      guard let place = Int(exactly: offset), place <= available, byteCount <= available - place else {
        throw .tensorOutsideFile(tensor: name, offset: offset, bytes: byteCount, fileSize: fileSize)
      }
      let begin = min(dataOffset + place, fileSize)
      return Tensor(name: name, type: type, shape: shape, byteRange: begin..<begin + byteCount)
    }
  }

  private static func readEntry(_ index: Int, _ cursor: inout GGUFCursor) throws(GGUFError) -> RawEntry {
    let name = try cursor.text("the name of tensor \(index)")
    let rank = try cursor.integer(UInt32.self, "the rank of tensor \(name)")
    guard rank <= 4 else { throw .tooManyDimensions(tensor: name, count: rank) }
    let extents = try cursor.integers(UInt64.self, count: Int(rank), "the shape of tensor \(name)")
    let id = try cursor.integer(UInt32.self, "the type of tensor \(name)")
    let offset = try cursor.integer(UInt64.self, "the offset of tensor \(name)")
    guard let type = GGMLType(rawValue: id) else { throw .unsupportedTensorType(tensor: name, id: id) }
    let row = extents.first ?? 1
    guard row % UInt64(type.blockElements) == 0 else {
      throw .partialBlock(tensor: name, row: row, type: type)
    }
    var shape: [Int] = []
    for extent in extents.reversed() {
      guard let extent = Int(exactly: extent) else { throw .shapeOverflow(tensor: name) }
      shape.append(extent)
    }
    // Decoded to float32 a tensor is larger than in the file; that must be countable too.
    guard CheckedSize.bytes(of: shape, elementSize: 8) != nil,
      let elements = CheckedSize.elements(of: shape),
      case let (bytes, overflow) = (elements / type.blockElements)
        .multipliedReportingOverflow(by: type.blockBytes), !overflow
    else { throw .shapeOverflow(tensor: name) }
    return RawEntry(name: name, type: type, shape: shape, byteCount: bytes, offset: offset)
  }
}

// MARK: - Values

extension GGUFFile {
  private static func readValue(_ key: String, _ cursor: inout GGUFCursor) throws(GGUFError) -> GGUFValue {
    let place = cursor.position
    let id = try cursor.integer(UInt32.self, "the type of \(key)")
    switch id {
    case 0: return .uint8(try cursor.integer(UInt8.self, key))
    case 1: return .int8(try cursor.integer(Int8.self, key))
    case 2: return .uint16(try cursor.integer(UInt16.self, key))
    case 3: return .int16(try cursor.integer(Int16.self, key))
    case 4: return .uint32(try cursor.integer(UInt32.self, key))
    case 5: return .int32(try cursor.integer(Int32.self, key))
    case 6: return .float32(try cursor.float(key))
    case 7: return .bool(try bools(1, key, &cursor)[0])
    case 8: return .string(try unsafe [UInt8](cursor.string(key)))
    case 9: return .array(try readArray(key, depth: 1, &cursor))
    case 10: return .uint64(try cursor.integer(UInt64.self, key))
    case 11: return .int64(try cursor.integer(Int64.self, key))
    case 12: return .float64(try cursor.double(key))
    default: throw .unknownValueType(key: key, id: id, offset: place)
    }
  }

  private static func readArray(
    _ key: String, depth: Int, _ cursor: inout GGUFCursor
  ) throws(GGUFError) -> GGUFArray {
    guard depth <= deepestArray else { throw .arrayTooDeep(key: key, limit: deepestArray) }
    let place = cursor.position
    let id = try cursor.integer(UInt32.self, "the element type of \(key)")
    guard let size = smallestElement(id) else { throw .unknownValueType(key: key, id: id, offset: place) }
    let count = try cursor.count(minimumBytes: size, "the length of \(key)")
    switch id {
    case 0: return .uint8(try cursor.integers(UInt8.self, count: count, key))
    case 1: return .int8(try cursor.integers(Int8.self, count: count, key))
    case 2: return .uint16(try cursor.integers(UInt16.self, count: count, key))
    case 3: return .int16(try cursor.integers(Int16.self, count: count, key))
    case 4: return .uint32(try cursor.integers(UInt32.self, count: count, key))
    case 5: return .int32(try cursor.integers(Int32.self, count: count, key))
    case 6: return .float32(try cursor.integers(UInt32.self, count: count, key).map(Float.init(bitPattern:)))
    case 7: return .bool(try bools(count, key, &cursor))
    case 8: return .strings(try strings(count, key, &cursor))
    case 10: return .uint64(try cursor.integers(UInt64.self, count: count, key))
    case 11: return .int64(try cursor.integers(Int64.self, count: count, key))
    case 12:
      return .float64(try cursor.integers(UInt64.self, count: count, key).map(Double.init(bitPattern:)))
    default:
      var arrays: [GGUFArray] = []
      for _ in 0..<count { arrays.append(try readArray(key, depth: depth + 1, &cursor)) }
      return .arrays(arrays)
    }
  }

  /// The least bytes an element of an array takes; nil for an unknown type.
  private static func smallestElement(_ id: UInt32) -> Int? {
    switch id {
    case 0, 1, 7: 1
    case 2, 3: 2
    case 4, 5, 6: 4
    case 8, 10, 11, 12: 8
    case 9: 4 + 8
    default: nil
    }
  }

  private static func bools(
    _ count: Int, _ key: String, _ cursor: inout GGUFCursor
  ) throws(GGUFError) -> [Bool] {
    let place = cursor.position
    let bytes = try cursor.integers(UInt8.self, count: count, key)
    if let bad = bytes.firstIndex(where: { $0 > 1 }) {
      throw .badBool(key: key, byte: bytes[bad], offset: place + bad)
    }
    return bytes.map { $0 == 1 }
  }

  private static func strings(
    _ count: Int, _ key: String, _ cursor: inout GGUFCursor
  ) throws(GGUFError) -> GGUFStrings {
    var strings = GGUFStrings()
    strings.reserve(strings: count)
    for index in 0..<count { unsafe strings.append(try cursor.string("\(key)[\(index)]")) }
    return strings
  }
}

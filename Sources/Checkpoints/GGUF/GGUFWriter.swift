package import Numerics

/// Writes a GGUF file, version 3, tensor by tensor. The layout is drawn at `GGUFFile`.
///
/// Tensors lie in the order they were declared; they may be written in any order.
package struct GGUFWriter: ~Copyable {
  package struct Declaration: Sendable, Equatable {
    package let name: String
    package let type: GGMLType
    /// Outermost first; at most four extents.
    package let shape: [Int]

    package init(name: String, type: GGMLType, shape: [Int]) {
      self.name = name
      self.type = type
      self.shape = shape
    }
  }

  private var file: PlannedFile
  private let path: String
  private let types: [String: GGMLType]
  private let size: Int

  /// Creates the temporary file and writes everything but the data.
  ///
  /// - Parameter metadata: must have `general.architecture` to be a model. Data is aligned to 32 bytes, the default,
  ///     so `general.alignment` must not say otherwise.
  /// - Throws: `write` for duplicate names, impossible shapes or rows that are not whole blocks.
  package init(
    path: String, metadata: [GGUFMetadata.Item], tensors: [Declaration]
  ) throws(CheckpointError) {
    let alignment = GGUFFile.defaultAlignment
    precondition(metadata.allSatisfy { $0.key != "general.alignment" || $0.value.int == alignment })
    var header = GGUFFile.magic
    header.append(littleEndian: UInt32(3))
    header.append(littleEndian: UInt64(tensors.count))
    header.append(littleEndian: UInt64(metadata.count))
    for item in metadata {
      Self.append(item.key.utf8, to: &header)
      header.append(littleEndian: item.value.typeID)
      Self.append(item.value, to: &header)
    }
    var sizes: [Int] = []
    var offset = 0
    for tensor in tensors {
      guard let bytes = Self.byteCount(tensor) else {
        throw .write(path: path, .badShape(tensor: tensor.name))
      }
      Self.append(tensor.name.utf8, to: &header)
      header.append(littleEndian: UInt32(tensor.shape.count))
      for extent in tensor.shape.reversed() { header.append(littleEndian: UInt64(extent)) }
      header.append(littleEndian: tensor.type.rawValue)
      header.append(littleEndian: UInt64(offset))
      sizes.append(bytes)
      let (end, overflow) = offset.addingReportingOverflow(bytes)
      guard !overflow, end < 1 << 62 else { throw .write(path: path, .badShape(tensor: tensor.name)) }
      offset = Self.roundUp(end, alignment)
    }
    var place = Self.roundUp(header.count, alignment)
    var parts: [(name: String, range: Range<Int>)] = []
    for (tensor, bytes) in zip(tensors, sizes) {
      parts.append((tensor.name, place..<place + bytes))
      place = Self.roundUp(place + bytes, alignment)
    }
    let file = try PlannedFile(path: path, header: header, parts: parts)
    self.file = file
    self.path = path
    types = [String: GGMLType](tensors.map { ($0.name, $0.type) }) { first, _ in first }
    size = place
  }

  /// Writes the stored bytes of a declared tensor, once.
  package mutating func write(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    try unsafe file.write(name, bytes)
  }

  /// Encodes and writes the elements of a declared tensor, once.
  ///
  /// - Throws: `write(.unsupportedType)` for types outside `GGMLType.encodable`.
  package mutating func write(_ name: String, _ values: [Float]) throws(CheckpointError) {
    guard let type = types[name] else { throw .write(path: path, .unknownTensor(name)) }
    guard values.count % type.blockElements == 0 else { throw .write(path: path, .badShape(tensor: name)) }
    guard let bytes = type.encode(values) else {
      throw .write(path: path, .unsupportedType(tensor: name, type: type.name))
    }
    try unsafe bytes.span.withUnsafeBytes { (raw) throws(CheckpointError) in
      try unsafe file.write(name, raw)
    }
  }

  /// Flushes the file to the disk and gives it its name.
  package consuming func finish() throws(CheckpointError) {
    try file.finish(size: size)
  }

  private static func byteCount(_ tensor: Declaration) -> Int? {
    guard tensor.shape.count <= 4, let elements = CheckedSize.elements(of: tensor.shape),
      (tensor.shape.last ?? 1) % tensor.type.blockElements == 0
    else { return nil }
    return CheckedSize.bytes(of: [elements / tensor.type.blockElements], elementSize: tensor.type.blockBytes)
  }

  private static func roundUp(_ value: Int, _ alignment: Int) -> Int {
    (value + alignment - 1) / alignment * alignment
  }
}

// MARK: - Values

extension GGUFWriter {
  private static func append(_ string: some Collection<UInt8>, to bytes: inout [UInt8]) {
    bytes.append(littleEndian: UInt64(string.count))
    bytes.append(contentsOf: string)
  }

  private static func append(_ value: GGUFValue, to bytes: inout [UInt8]) {
    switch value {
    case .uint8(let number): bytes.append(number)
    case .int8(let number): bytes.append(littleEndian: number)
    case .uint16(let number): bytes.append(littleEndian: number)
    case .int16(let number): bytes.append(littleEndian: number)
    case .uint32(let number): bytes.append(littleEndian: number)
    case .int32(let number): bytes.append(littleEndian: number)
    case .uint64(let number): bytes.append(littleEndian: number)
    case .int64(let number): bytes.append(littleEndian: number)
    case .float32(let number): bytes.append(littleEndian: number.bitPattern)
    case .float64(let number): bytes.append(littleEndian: number.bitPattern)
    case .bool(let flag): bytes.append(flag ? 1 : 0)
    case .string(let string): append(string, to: &bytes)
    case .array(let array): append(array, to: &bytes)
    }
  }

  private static func append(_ array: GGUFArray, to bytes: inout [UInt8]) {
    bytes.append(littleEndian: array.elementTypeID)
    bytes.append(littleEndian: UInt64(array.count))
    switch array {
    case .uint8(let values): bytes.append(contentsOf: values)
    case .int8(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint16(let values): for value in values { bytes.append(littleEndian: value) }
    case .int16(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint32(let values): for value in values { bytes.append(littleEndian: value) }
    case .int32(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint64(let values): for value in values { bytes.append(littleEndian: value) }
    case .int64(let values): for value in values { bytes.append(littleEndian: value) }
    case .float32(let values): for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .float64(let values): for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .bool(let values): for value in values { bytes.append(value ? 1 : 0) }
    case .strings(let values): for value in values { append(value, to: &bytes) }
    case .arrays(let values): for value in values { append(value, to: &bytes) }
    }
  }
}

extension GGUFValue {
  /// The format's number for this type.
  var typeID: UInt32 {
    switch self {
    case .uint8: 0
    case .int8: 1
    case .uint16: 2
    case .int16: 3
    case .uint32: 4
    case .int32: 5
    case .float32: 6
    case .bool: 7
    case .string: 8
    case .array: 9
    case .uint64: 10
    case .int64: 11
    case .float64: 12
    }
  }
}

extension GGUFArray {
  /// The format's number for the type of the elements.
  var elementTypeID: UInt32 {
    switch self {
    case .uint8: 0
    case .int8: 1
    case .uint16: 2
    case .int16: 3
    case .uint32: 4
    case .int32: 5
    case .float32: 6
    case .bool: 7
    case .strings: 8
    case .arrays: 9
    case .uint64: 10
    case .int64: 11
    case .float64: 12
    }
  }
}

internal import JSON
package import Numerics

/// Writes one safetensors file, tensor by tensor, so that a model larger than memory can be converted.
///
///     var writer = try SafetensorsWriter(path: path, tensors: declared, metadata: [.init(key: "format", value: "pt")])
///     for tensor in declared { try writer.write(tensor.name, bytes) }     // in any order
///     try writer.finish()                                                // only now the file appears
///
/// The bytes depend on the declared tensors and metadata only: data is laid out by falling element size, then by name,
/// which is also what the reference implementation writes and keeps every tensor aligned to its elements.
package struct SafetensorsWriter: ~Copyable {
  package struct Declaration: Sendable, Equatable {
    package let name: String
    package let dataType: DataType
    /// Outermost first; empty for a scalar.
    package let shape: [Int]

    package init(name: String, dataType: DataType, shape: [Int]) {
      self.name = name
      self.dataType = dataType
      self.shape = shape
    }
  }

  private var file: PlannedFile
  private let size: Int

  /// Creates the temporary file and writes the header.
  ///
  /// - Throws: `write` for duplicate names or impossible shapes, `inputOutput` when the folder can't be written.
  package init(
    path: String, tensors: [Declaration], metadata: [SafetensorsHeader.MetadataItem] = []
  ) throws(CheckpointError) {
    let sorted = tensors.sorted { a, b in
      a.dataType.byteCount != b.dataType.byteCount
        ? a.dataType.byteCount > b.dataType.byteCount : a.name < b.name
    }
    var offsets: [Range<Int>] = []
    var end = 0
    for tensor in sorted {
      guard let bytes = CheckedSize.bytes(of: tensor.shape, elementSize: tensor.dataType.byteCount),
        case let (next, overflow) = end.addingReportingOverflow(bytes), !overflow, next < 1 << 62
      else { throw .write(path: path, .badShape(tensor: tensor.name)) }
      offsets.append(end..<next)
      end = next
    }
    let header = Self.header(sorted, offsets, metadata)
    guard header.count - 8 <= SafetensorsHeader.maximumBytes else {
      throw .write(path: path, .headerTooLarge(bytes: header.count))
    }
    var parts: [(name: String, range: Range<Int>)] = []
    for (tensor, offset) in zip(sorted, offsets) {
      if tensor.name == "__metadata__" { throw .write(path: path, .duplicateTensor(tensor.name)) }
      parts.append((tensor.name, header.count + offset.lowerBound..<header.count + offset.upperBound))
    }
    let file = try PlannedFile(path: path, header: header, parts: parts)
    self.file = file
    size = header.count + end
  }

  /// Writes the elements of a declared tensor, once: row-major, little-endian.
  package mutating func write(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    try unsafe file.write(name, bytes)
  }

  package mutating func write<Element: BitwiseCopyable>(
    _ name: String, _ elements: [Element]
  ) throws(CheckpointError) {
    try unsafe elements.span.withUnsafeBytes { (bytes) throws(CheckpointError) in
      try unsafe write(name, bytes)
    }
  }

  /// Flushes the file to the disk and gives it its name.
  package consuming func finish() throws(CheckpointError) {
    try file.finish(size: size)
  }

  /// Length and JSON, padded with spaces so that the data begins at a multiple of 8.
  private static func header(
    _ tensors: [Declaration], _ offsets: [Range<Int>], _ metadata: [SafetensorsHeader.MetadataItem]
  ) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    if !metadata.isEmpty {
      writer.key("__metadata__")
      writer.beginObject()
      for item in metadata { writer.member(item.key, item.value) }
      writer.endObject()
    }
    for (tensor, offset) in zip(tensors, offsets) {
      writer.key(tensor.name)
      writer.beginObject()
      writer.member("dtype", SafetensorsDataType.name(of: tensor.dataType))
      writer.key("shape")
      writer.beginArray()
      for extent in tensor.shape { writer.integer(extent) }
      writer.endArray()
      writer.key("data_offsets")
      writer.beginArray()
      writer.integer(offset.lowerBound)
      writer.integer(offset.upperBound)
      writer.endArray()
      writer.endObject()
    }
    writer.endObject()
    let padding = (8 - writer.bytes.count % 8) % 8
    let length = UInt64(writer.bytes.count + padding)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + writer.bytes
      + [UInt8](repeating: UInt8(ascii: " "), count: padding)
  }
}

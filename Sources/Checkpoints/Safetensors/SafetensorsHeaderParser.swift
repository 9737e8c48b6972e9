internal import JSON
internal import Numerics

/// One pass over the JSON of a header, without a tree: a checkpoint may list a hundred thousand tensors.
struct SafetensorsHeaderParser {
  let dataOffset: Int
  let fileSize: Int
  private(set) var metadata: [SafetensorsHeader.MetadataItem] = []
  private var tensors: [SafetensorsHeader.Tensor] = []
  private var names: Set<String> = []

  init(dataOffset: Int, fileSize: Int) {
    self.dataOffset = dataOffset
    self.fileSize = fileSize
  }

  mutating func parse(_ text: [UInt8]) throws(SafetensorsError) {
    // Nothing of the format is nested deeper than 3; unknown members are passed over.
    var scanner = try json(JSONScanner(text, limits: JSONLimits(maxDepth: 16)))
    try json(scanner.beginObject())
    while let name = try json(scanner.nextKey()) {
      guard names.insert(name).inserted else { throw .duplicateTensor(name) }
      if name == "__metadata__" {
        try readMetadata(&scanner)
      } else {
        tensors.append(try readTensor(name, &scanner))
      }
    }
    try json(scanner.finish())
  }

  /// Checks that the ranges cover the data exactly.
  consuming func tensorsInOrderOfData() throws(SafetensorsError) -> [SafetensorsHeader.Tensor] {
    // An empty tensor comes before the one that begins at the same byte.
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var covered = dataOffset
    var previous = ""
    for tensor in tensors {
      let begin = tensor.byteRange.lowerBound
      if begin < covered { throw .overlap(tensor: tensor.name, other: previous, offset: begin) }
      if begin > covered { throw .hole(from: covered, to: begin) }
      covered = tensor.byteRange.upperBound
      previous = tensor.name
    }
    if covered < fileSize { throw .hole(from: covered, to: fileSize) }
    return tensors
  }

  private mutating func readMetadata(_ scanner: inout JSONScanner) throws(SafetensorsError) {
    try json(scanner.beginObject())
    while let key = try json(scanner.nextKey()) {
      metadata.append(.init(key: key, value: try json(scanner.string())))
    }
  }

  private func readTensor(
    _ name: String, _ scanner: inout JSONScanner
  ) throws(SafetensorsError) -> SafetensorsHeader.Tensor {
    var type: DataType?
    var shape: [Int]?
    var range: Range<Int>?
    try json(scanner.beginObject())
    while let field = try json(scanner.nextKey()) {
      switch field {
      case "dtype":
        if type != nil { throw .duplicateField(tensor: name, field: field) }
        type = try readDataType(name, &scanner)
      case "shape":
        if shape != nil { throw .duplicateField(tensor: name, field: field) }
        shape = try readExtents(name, &scanner)
      case "data_offsets":
        if range != nil { throw .duplicateField(tensor: name, field: field) }
        range = try readRange(name, &scanner)
      default: try json(scanner.skipValue())
      }
    }
    guard let type else { throw .missingField(tensor: name, field: "dtype") }
    guard let shape else { throw .missingField(tensor: name, field: "shape") }
    guard let range else { throw .missingField(tensor: name, field: "data_offsets") }
    guard let bytes = CheckedSize.bytes(of: shape, elementSize: type.byteCount) else {
      throw .shapeOverflow(tensor: name)
    }
    guard bytes == range.count else {
      throw .sizeMismatch(tensor: name, shapeBytes: bytes, rangeBytes: range.count)
    }
    return .init(name: name, dataType: type, shape: shape, byteRange: range)
  }

  private func readDataType(
    _ name: String, _ scanner: inout JSONScanner
  ) throws(SafetensorsError) -> DataType {
    let text = try json(scanner.string())
    guard let type = SafetensorsDataType.type(named: text) else {
      throw .unknownDataType(tensor: name, name: text)
    }
    return type
  }

  private func readExtents(
    _ name: String, _ scanner: inout JSONScanner
  ) throws(SafetensorsError) -> [Int] {
    var extents: [Int] = []
    try json(scanner.beginArray())
    while try json(scanner.nextElement()) {
      let place = scanner.position
      guard let extent = try readWholeNumber(&scanner) else {
        throw .badExtent(tensor: name, offset: 8 + place)
      }
      extents.append(extent)
    }
    return extents
  }

  /// `[begin, end]`, moved from the start of the data to the start of the file.
  private func readRange(
    _ name: String, _ scanner: inout JSONScanner
  ) throws(SafetensorsError) -> Range<Int> {
    let place = 8 + scanner.position
    var bounds: [Int] = []
    try json(scanner.beginArray())
    while try json(scanner.nextElement()) {
      guard bounds.count < 2, let bound = try readWholeNumber(&scanner) else {
        throw .badRange(tensor: name, offset: place)
      }
      bounds.append(bound)
    }
    guard bounds.count == 2, bounds[0] <= bounds[1] else { throw .badRange(tensor: name, offset: place) }
    let dataBytes = fileSize - dataOffset
    guard bounds[1] <= dataBytes else {
      throw .outsideData(tensor: name, begin: bounds[0], end: bounds[1], dataBytes: dataBytes)
    }
    return dataOffset + bounds[0]..<dataOffset + bounds[1]
  }

  /// nil for a number that is not 0, 1, 2, … or does not fit; `2.0` is refused as the reference does.
  private func readWholeNumber(_ scanner: inout JSONScanner) throws(SafetensorsError) -> Int? {
    guard case .integer(let number) = try json(scanner.number()), number >= 0 else { return nil }
    return Int(exactly: number)
  }

  private func json<Value>(
    _ read: @autoclosure () throws(JSONError) -> Value
  ) throws(SafetensorsError) -> Value {
    do { return try read() } catch { throw .json(error) }
  }
}

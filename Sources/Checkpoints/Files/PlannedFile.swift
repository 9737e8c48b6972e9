/// A file whose parts have names, places and sizes fixed before the first is written: what both writers share.
struct PlannedFile: ~Copyable {
  private let path: String
  private let file: AtomicFile
  /// From the start of the file.
  private let ranges: [String: Range<Int>]
  private var unwritten: Set<String>

  /// Creates the temporary file and writes `header` to its start.
  init(
    path: String, header: [UInt8], parts: [(name: String, range: Range<Int>)]
  ) throws(CheckpointError) {
    var ranges: [String: Range<Int>] = [:]
    for (name, range) in parts where ranges.updateValue(range, forKey: name) != nil {
      throw .write(path: path, .duplicateTensor(name))
    }
    let file = try AtomicFile(path: path)
    try file.write(header, at: 0)
    self.path = path
    self.file = file
    self.ranges = ranges
    unwritten = Set(ranges.keys)
  }

  /// Writes one part, once.
  mutating func write(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    guard let range = ranges[name] else { throw .write(path: path, .unknownTensor(name)) }
    guard unwritten.contains(name) else { throw .write(path: path, .duplicateTensor(name)) }
    guard range.count == bytes.count else {
      throw .write(path: path, .sizeMismatch(tensor: name, declared: range.count, given: bytes.count))
    }
    try unsafe file.write(bytes, at: range.lowerBound)
    unwritten.remove(name)
  }

  /// Makes the file visible. `size` includes padding behind the last part, which reads as zeros.
  consuming func finish(size: Int) throws(CheckpointError) {
    if let missing = unwritten.min() { throw .write(path: path, .incomplete(tensor: missing)) }
    try file.extend(to: size)
    try file.commit()
  }
}

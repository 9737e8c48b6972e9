internal import Checkpoints
internal import Compute
internal import Glibc
package import JSON
internal import Numerics

/// What a run has finished, in a folder beside its output, so that a killed one goes on where it stopped.
///
///     .compress/run.json               what is being done; another run's journal is refused
///     .compress/layer-003.safetensors  tensors of the layer under their final names
///     .compress/stream-003.safetensors the calibration's residual stream behind it: behind some layers, the last is kept
///     .compress/layer-003.json         its report; written last: with it the layer is done
package struct Journal {
  package enum Problem: Error, Equatable, Sendable {
    case foreign(folder: String)
    case cannotWrite(path: String, code: Int32)
    case damaged(path: String)
  }

  package let folder: String

  /// Opens or begins the journal of a run that `identity` tells apart from all others.
  package init(output: String, identity: JSONValue) throws {
    folder = output + "/.compress"
    for path in [output, folder] { try Self.makeFolder(path) }
    let path = folder + "/run.json"
    if let text = try Self.read(path) {
      guard let found = try? JSONValue.parse(text), found == identity else {
        throw Problem.foreign(folder: folder)
      }
    } else {
      try Self.write(identity, to: path)
    }
  }

  /// Creates a folder that may be there already.
  static func makeFolder(_ path: String) throws(Problem) {
    if unsafe mkdir(path, 0o777) != 0, errno != EEXIST { throw .cannotWrite(path: path, code: errno) }
  }

  /// Layers, from the first, that need not be done again.
  ///
  /// - Parameter needsStream: going on takes the residual stream: layers behind the last one written are done again.
  package func finishedLayers(of count: Int, needsStream: Bool) -> Int {
    var layer = 0
    while layer < count, unsafe access(path(layer, "json"), F_OK) == 0 { layer += 1 }
    guard needsStream, layer < count else { return layer }
    while layer > 0, unsafe access(path(layer - 1, "stream"), F_OK) != 0 { layer -= 1 }
    return layer
  }

  package func path(_ layer: Int, _ kind: String) -> String {
    let number = String(layer)
    let name = String(repeating: "0", count: Swift.max(0, 4 - number.count)) + number
    return folder + (kind == "stream" ? "/stream-\(name).safetensors" : "/layer-\(name).\(kind)")
  }

  package func write(
    layer: Int, tensors: [OutputTensor], report: JSONValue, stream: OutputTensor? = nil
  ) throws {
    if let stream { try Self.write([stream], to: path(layer, "stream")) }
    try Self.write(tensors, to: path(layer, "safetensors"))
    try Self.write(report, to: path(layer, "json"))
    if stream != nil { for earlier in 0..<layer { unsafe unlink(path(earlier, "stream")) } }
  }

  package func report(layer: Int) throws -> JSONValue {
    let path = path(layer, "json")
    guard let text = try Self.read(path), let value = try? JSONValue.parse(text) else {
      throw Problem.damaged(path: path)
    }
    return value
  }

  /// Takes the journal away: the output is complete.
  package func remove(layers: Int) {
    for layer in 0..<layers {
      for kind in ["safetensors", "json", "stream"] { unsafe unlink(path(layer, kind)) }
    }
    unsafe unlink(folder + "/run.json")
    unsafe rmdir(folder)
  }

  static func write(_ tensors: [OutputTensor], to path: String) throws {
    var writer = try SafetensorsWriter(
      path: path,
      tensors: tensors.map { .init(name: $0.name, dataType: $0.tensor.dataType, shape: $0.shape) })
    for tensor in tensors {
      try unsafe writer.write(
        tensor.name,
        UnsafeRawBufferPointer(start: tensor.tensor.view.address, count: tensor.tensor.byteCount))
    }
    try writer.finish()
  }

  package static func write(_ value: JSONValue, to path: String) throws {
    try write(Array((value.serialized(.pretty) + "\n").utf8), to: path)
  }

  package static func write(_ bytes: [UInt8], to path: String) throws {
    let file = try AtomicFile(path: path)
    try file.write(bytes, at: 0)
    try file.commit()
  }

  /// nil where there is no such file.
  private static func read(_ path: String) throws -> [UInt8]? {
    guard unsafe access(path, F_OK) == 0 else { return nil }
    let file = try MappedFile(path: path)
    return unsafe file.withBytes { bytes in unsafe [UInt8](bytes) }
  }
}

extension Journal.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .foreign(let folder):
      "\(folder) belongs to another compression; finish that one, remove the folder, or choose another --output"
    case .cannotWrite(let path, let code): "cannot create \(path): \(unsafe String(cString: strerror(code)))"
    case .damaged(let path): "\(path) is damaged; remove the folder and start again"
    }
  }
}

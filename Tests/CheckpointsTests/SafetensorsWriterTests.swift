import Checkpoints
import Foundation
import Numerics
import TestSupport
import Testing

@Suite struct SafetensorsWriterTests {
  private typealias Declaration = SafetensorsWriter.Declaration

  private func problem(_ body: () throws -> Void) -> CheckpointError.WriteProblem? {
    do {
      try body()
      return nil
    } catch let CheckpointError.write(_, problem) {
      return problem
    } catch {
      Issue.record("\(error)")
      return nil
    }
  }

  /// Files of the reference implementation, read and written again, are the same byte for byte.
  @Test(arguments: ["llama", "mistral", "gpt2", "bloom", "qwen2", "bert-sst2"])
  func writesWhatTheReferenceWrites(model: String) throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/\(model)"))
    let bytes = try Fixtures.bytes("tiny/\(model)/model.safetensors")
    let header = try SafetensorsSamples.parse(bytes)
    let directory = try TemporaryDirectory()
    let path = directory.file("model.safetensors")
    // Declared and written in an order of their own.
    let names = source.tensorNames.reversed()
    let tensors = try names.map { try source.rawTensor($0) }
    var writer = try SafetensorsWriter(
      path: path, tensors: tensors.map { Declaration(name: $0.name, dataType: $0.dataType, shape: $0.shape) },
      metadata: header.metadata)
    for tensor in tensors.shuffled() {
      try unsafe tensor.withBytes { raw in try unsafe writer.write(tensor.name, raw) }
    }
    try writer.finish()
    #expect(try Fixtures.read(path) == bytes)
    #expect(try directory.names == ["model.safetensors"])
  }

  @Test func readsBackEveryTypeAndShape() throws {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    let shapes: [[Int]] = [[], [0], [3], [2, 0, 4], [2, 3], [1, 2, 1, 2, 1]]
    var declared: [Declaration] = []
    for type in DataType.allCases {
      for (index, shape) in shapes.enumerated() {
        declared.append(Declaration(name: "\(type.rawValue).\(index)", dataType: type, shape: shape))
      }
    }
    var generator = SeededGenerator(seed: 3)
    var contents: [String: [UInt8]] = [:]
    var writer = try SafetensorsWriter(path: directory.file("model.safetensors"), tensors: declared)
    for tensor in declared {
      let count = tensor.shape.reduce(1, *) * tensor.dataType.byteCount
      contents[tensor.name] = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      try writer.write(tensor.name, contents[tensor.name] ?? [])
    }
    try writer.finish()
    let checkpoint = try Checkpoint.open(directory.path)
    for tensor in declared {
      let read = try checkpoint.rawTensor(tensor.name)
      #expect(read.shape == tensor.shape)
      #expect(read.dataType == tensor.dataType)
      let bytes = unsafe read.withBytes { raw in unsafe Array(raw) }
      #expect(bytes == contents[tensor.name])
    }
  }

  @Test func textOfAnyKindSurvivesInNamesAndMetadata() throws {
    let directory = try TemporaryDirectory()
    let name = "a\"b\\c\u{1}\né😀"
    let path = directory.file("x.safetensors")
    var writer = try SafetensorsWriter(
      path: path, tensors: [.init(name: name, dataType: .uint8, shape: [1])],
      metadata: [.init(key: name, value: name), .init(key: "", value: "")])
    try writer.write(name, [7] as [UInt8])
    try writer.finish()
    let header = try SafetensorsSamples.parse(Fixtures.read(path))
    #expect(header.tensors.map(\.name) == [name])
    #expect(header.metadata == [.init(key: name, value: name), .init(key: "", value: "")])
    #expect(header.dataOffset % 8 == 0)
  }

  @Test func nothingAppearsBeforeFinish() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("model.safetensors", "old")
    do {
      var writer = try SafetensorsWriter(
        path: path, tensors: [.init(name: "a", dataType: .uint8, shape: [2])])
      try writer.write("a", [1, 2] as [UInt8])
      #expect(try directory.names.count == 2)
      #expect(try Fixtures.read(path) == Array("old".utf8))
    }
    #expect(try directory.names == ["model.safetensors"])
    #expect(try Fixtures.read(path) == Array("old".utf8))
  }

  @Test func mistakesAreNamed() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("x")
    let a = Declaration(name: "a", dataType: .float32, shape: [2])
    #expect(
      problem {
        var writer = try SafetensorsWriter(path: path, tensors: [a])
        try writer.write("a", [1] as [Float])
      } == .sizeMismatch(tensor: "a", declared: 8, given: 4))
    #expect(
      problem {
        var writer = try SafetensorsWriter(path: path, tensors: [a])
        try writer.write("b", [1, 2] as [Float])
      } == .unknownTensor("b"))
    #expect(
      problem {
        var writer = try SafetensorsWriter(path: path, tensors: [a])
        try writer.write("a", [1, 2] as [Float])
        try writer.write("a", [1, 2] as [Float])
      } == .duplicateTensor("a"))
    #expect(
      problem { _ = try SafetensorsWriter(path: path, tensors: [a]).finish() } == .incomplete(tensor: "a"))
    #expect(problem { _ = try SafetensorsWriter(path: path, tensors: [a, a]) } == .duplicateTensor("a"))
    for shape in [[-1], [1 << 62, 4], [Int.max, Int.max], [0, Int.max, 2]] {
      let bad = Declaration(name: "bad", dataType: .float32, shape: shape)
      #expect(
        problem { _ = try SafetensorsWriter(path: path, tensors: [a, bad]) } == .badShape(tensor: "bad"))
    }
    let reserved = Declaration(name: "__metadata__", dataType: .float32, shape: [])
    #expect(
      problem { _ = try SafetensorsWriter(path: path, tensors: [reserved]) }
        == .duplicateTensor("__metadata__"))
    #expect(try directory.names == [])
  }

  @Test func aMissingFolderIsAnInputOutputError() throws {
    let directory = try TemporaryDirectory()
    do {
      _ = try SafetensorsWriter(path: directory.file("none/x"), tensors: [])
      Issue.record("a file appeared in a folder that does not exist")
    } catch {
      #expect(error.exitCode == 74)
      #expect(error.description.contains("No such file or directory"))
    }
  }
}

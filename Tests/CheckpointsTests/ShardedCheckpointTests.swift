import Checkpoints
import Foundation
import JSON
import Numerics
import TestSupport
import Testing

@Suite struct ShardedCheckpointTests {
  private static let index = "model.safetensors.index.json"

  private func write(_ tensors: [String: [Float]], to path: String) throws {
    let names = tensors.keys.sorted()
    var writer = try SafetensorsWriter(
      path: path, tensors: names.map { .init(name: $0, dataType: .float32, shape: [tensors[$0]?.count ?? 0]) }
    )
    for name in names { try writer.write(name, tensors[name] ?? []) }
    try writer.finish()
  }

  /// Two shards: a and b in the first, c in the second.
  private func directory(index: String) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    try write(["a": [1], "b": [2, 3]], to: directory.file("model-00001-of-00002.safetensors"))
    try write(["c": [4]], to: directory.file("model-00002-of-00002.safetensors"))
    try directory.write(Self.index, index)
    return directory
  }

  private func index(_ places: [(String, Int)]) -> String {
    let map = places.map { #""\#($0.0)": "model-0000\#($0.1)-of-00002.safetensors""# }
    return #"{"metadata": {"total_size": 16}, "weight_map": {\#(map.joined(separator: ", "))}}"#
  }

  private func indexError(_ text: String) throws -> ShardIndexError? {
    let directory = try directory(index: text)
    do {
      _ = try Checkpoint.open(directory.path)
      return nil
    } catch CheckpointError.index(file: directory.file(Self.index), let error) {
      return error
    } catch {
      Issue.record("\(error)")
      return nil
    }
  }

  @Test func readsEachTensorFromItsShard() throws {
    let directory = try directory(index: index([("a", 1), ("b", 1), ("c", 2)]))
    let checkpoint = try Checkpoint.open(directory.path)
    #expect(checkpoint.tensorNames == ["a", "b", "c"])
    #expect(checkpoint.files.count == 2)
    #expect(try checkpoint.rawTensor("b").floats() == [2, 3])
    #expect(try checkpoint.rawTensor("c").floats() == [4])
    #expect(CheckpointSummary(checkpoint).tensorBytes == 16)
  }

  @Test func aTensorOutsideTheIndexIsLeftOut() throws {
    let directory = try directory(index: index([("a", 1), ("c", 2)]))
    #expect(try Checkpoint.open(directory.path).tensorNames == ["a", "c"])
  }

  @Test func refusesTensorsThatAreNotWhereTheIndexSays() throws {
    #expect(
      try indexError(index([("a", 2), ("b", 1), ("c", 2)]))
        == .tensorNotInShard(
          tensor: "a", shard: "model-00002-of-00002.safetensors", foundIn: "model-00001-of-00002.safetensors")
    )
    #expect(
      try indexError(index([("a", 1), ("z", 2)]))
        == .tensorNotInShard(tensor: "z", shard: "model-00002-of-00002.safetensors", foundIn: nil))
  }

  @Test func refusesMissingShards() throws {
    #expect(
      try indexError(index([("a", 1), ("z", 3)])) == .shardMissing("model-00003-of-00002.safetensors"))
  }

  @Test(arguments: [
    "../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", ".safetensors", "model.bin",
    "a\\\\b.safetensors", "a\\u0000b.safetensors",
  ])
  func refusesNamesThatLeadElsewhere(name: String) throws {
    guard case .badShardName = try indexError(#"{"weight_map": {"a": "\#(name)"}}"#) else {
      Issue.record("\(name) was accepted")
      return
    }
  }

  @Test func refusesAnIndexOfAnotherForm() throws {
    for text in ["{}", "[]", "3", #"{"weight_map": []}"#, #"{"weight_map": {}}"#] {
      #expect(try indexError(text) == .noWeightMap)
    }
    #expect(try indexError(#"{"weight_map": {"a": 1}}"#) == .shardIsNoText(tensor: "a"))
  }

  @Test func aDamagedShardIsNamed() throws {
    let directory = try directory(index: index([("a", 1), ("c", 2)]))
    let shard = try directory.write("model-00002-of-00002.safetensors", "short")
    #expect(throws: CheckpointError.safetensors(file: shard, .tooShort(fileSize: 5))) {
      try Checkpoint.open(directory.path)
    }
  }

  @Test func aSingleFileGoesBeforeAnIndex() throws {
    let directory = try directory(index: "not JSON")
    try write(["x": [9]], to: directory.file("model.safetensors"))
    #expect(try Checkpoint.open(directory.path).tensorNames == ["x"])
  }

  @Test func shardsMayBeLinks() throws {
    let directory = try directory(index: index([("a", 1), ("c", 2)]))
    let store = try TemporaryDirectory()
    let name = "model-00002-of-00002.safetensors"
    try FileManager.default.moveItem(atPath: directory.file(name), toPath: store.file("blob"))
    try FileManager.default.createSymbolicLink(
      atPath: directory.file(name), withDestinationPath: store.file("blob"))
    #expect(try Checkpoint.open(directory.path).rawTensor("c").floats() == [4])
  }
}

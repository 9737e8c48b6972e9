import CPUBackend
import Compression
import Checkpoints
import Compute
import Generation
import JSON
import Models
import Numerics
import TestSupport
import Testing

import Foundation

@Suite("Structured pruning")
struct StructuredPruningTests {
  private static func logits(_ graph: ModelGraph, _ window: [Int32]) throws -> [Float] {
    var all: [Float] = []
    try WindowScorer(graph: graph, longestWindow: 32).logits(of: [window]) { _, _, row in
      for index in row.indices { all.append(row[index]) }
    }
    return all
  }

  private static func graph(_ path: String) throws -> ModelGraph {
    try ModelGraph(
      checkpoint: Checkpoint.open(path), backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 32, maxSequences: 1, maxModelLength: 32, maxLogitRows: 32))
  }

  @Test(
    arguments: [
      ("tiny/llama", 0.5, 0.25), ("tiny/qwen2", 0.34, 0.5), ("tiny/gpt2", 0, 0.5),
      ("families/gpt-neox-parallel", 0, 0.3), ("families/llama-sink-logits", 0.5, 0.3),
    ], [true, false])
  func `the smaller model is the original with those groups' inputs zeroed`(
    _ request: (fixture: String, heads: Double, channels: Double), _ isUniform: Bool
  ) throws {
    let (fixture, heads, channels) = request
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    let samples = (0..<2).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    var pruner = try StructuredPruner(
      source, .init(heads: heads, channels: channels, isUniform: isUniform, compensates: false),
      calibration: CalibrationSet(samples: samples), backend: CPUBackend(threads: 1))
    try pruner.run(output: folder.path)
    let small = try Self.graph(folder.path)
    let layers = configuration.layers.indices
    let widths = layers.map { small.configuration.intermediateSize(of: $0) }
    #expect(widths == pruner.kept.map(\.channels.count))
    if isUniform {
      #expect(Set(widths).count == 1 && widths[0] < configuration.intermediateSize)
    } else {
      let removed = layers.count * Int(Double(configuration.intermediateSize) * channels)
      let found = layers.count * configuration.intermediateSize - widths.reduce(0, +)
      #expect(abs(found - removed) <= layers.count * GroupBudget.unit / 2)
    }
    let counts = layers.map { small.configuration.keyValueHeads(of: $0) }
    #expect(counts == pruner.kept.map(\.heads.count))
    let all = layers.count * configuration.keyValueHeads
    #expect(
      counts.reduce(0, +)
        == (isUniform
          ? layers.count * (configuration.keyValueHeads - Int(Double(configuration.keyValueHeads) * heads))
          : all - Int(Double(all) * heads)))
    #expect(Set(counts).count == 1 || !isUniform)
    let groups = DependencyGroups(configuration)
    let zeroed = try Self.graph(Fixtures.path(fixture))
    let inventory = try TensorInventory(configuration, in: source)
    for (layer, sites) in inventory.sites(configuration).enumerated() {
      let weights = try LayerWeights(
        sites, norms: inventory.norms(layer: layer, configuration.decoder), checkpoint: source,
        decoder: configuration.decoder)
      let gone =
        groups.heads.indices.filter { !pruner.kept[layer].heads.contains($0) }.map { groups.heads[$0] }
        + groups.channels.indices.filter { !pruner.kept[layer].channels.contains($0) }.map {
          groups.channels[$0]
        }
      for group in gone {
        let matrix = try #require(weights.linears[group.columns.role])
        for row in 0..<matrix.rows { for column in group.columns.indices { matrix[row, column] = 0 } }
      }
      try weights.install([.attentionOutput, .down], in: zeroed)
    }
    let window = randomTokens(32, below: configuration.vocabularySize, seed: 9)
    let (left, right) = (try Self.logits(small, window), try Self.logits(zeroed, window))
    let scale = right.map(abs).max() ?? 0
    for (a, b) in zip(left, right) { #expect(abs(a - b) <= 1e-5 * scale) }
  }

  @Test func `making up for what is gone comes nearer to the original`() throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path("demo"))
    let text = try SafetensorsFile(path: Fixtures.path("demo/calibration.safetensors"))
    let ids = try text.tensor("input_ids").integers().map { Int32($0) }
    // Several times as many tokens as channels, or least squares would fit the samples only.
    let samples = (0..<12).map { Array(ids[$0 * 256..<($0 + 1) * 256]) }
    let window = Array(ids[15000..<15032])
    let original = try Self.logits(try Self.graph(Fixtures.path("demo")), window)
    var distances: [Double] = []
    for compensates in [false, true] {
      var pruner = try StructuredPruner(
        source, .init(heads: 0, channels: 0.25, compensates: compensates),
        calibration: CalibrationSet(samples: samples), backend: CPUBackend(threads: 2))
      let path = folder.path + "/\(compensates)"
      try pruner.run(output: path)
      let found = try Self.logits(try Self.graph(path), window)
      distances.append(zip(found, original).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) })
    }
    #expect(distances[1] < 0.8 * distances[0])
  }

  @Test func `channels that contribute least go, wherever they are`() throws {
    let scores = [[0.9, 0.1, 0.8, 0.2], [0.5, 0.5, 0.5, 0.5]]
    #expect(try GroupBudget.kept(scores, removing: 0, "channels") == [4, 4])
    #expect(try GroupBudget.kept(scores, removing: 2, "channels") == [2, 4])
    #expect(try GroupBudget.kept(scores, removing: 4, "channels") == [2, 2])
    // One stays of each.
    #expect(try GroupBudget.kept(scores, removing: 6, "channels") == [1, 1])
    #expect(throws: StructuredPruner.Problem.self) { try GroupBudget.kept(scores, removing: 7, "channels") }
    let wide = [[Double](repeating: 1, count: 100), [Double](repeating: 0.5, count: 100)]
    #expect(try GroupBudget.kept(wide, removing: 30, "channels") == [100, 72])
    #expect(try GroupBudget.kept([[], [1]], removing: 0, "channels") == [0, 1])
  }

  /// The demo's layers have four heads each; three of 24 go from where they contribute least.
  @Test func `heads that contribute least go, and the cache shrinks with them`() throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path("demo"))
    let samples = (0..<2).map { randomTokens(64, below: 4096, seed: UInt64($0)) }
    var pruner = try StructuredPruner(
      source, .init(heads: 0.125, channels: 0, isUniform: false),
      calibration: CalibrationSet(samples: samples), backend: CPUBackend(threads: 2))
    try pruner.run(output: folder.path)
    let (small, original) = (try Self.graph(folder.path), try Self.graph(source.path))
    let counts = pruner.kept.map(\.heads.count)
    #expect(counts.reduce(0, +) == 21 && Set(counts).count > 1)
    let geometry = small.cacheGeometry(blockCount: 3)
    #expect(counts.indices.map { geometry.heads(of: $0) } == counts)
    #expect(geometry.bytesPerBlock * 24 == original.cacheGeometry(blockCount: 3).bytesPerBlock * 21)
    // Pruned once more: layers that have different numbers already.
    var again = try StructuredPruner(
      try Checkpoint.open(folder.path), .init(heads: 0.25, channels: 0, isUniform: false),
      calibration: CalibrationSet(samples: samples), backend: CPUBackend(threads: 2))
    try again.run(output: folder.path + "/again")
    let left = again.kept.map(\.heads.count)
    #expect(left.reduce(0, +) == 16 && zip(left, counts).allSatisfy { $0 <= $1 })
    #expect(
      try Self.graph(folder.path + "/again").configuration.layers.indices.map {
        again.kept[$0].heads.count
      } == left)
  }

  @Test func `widths that fit no model are refused by the field's name`() throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/llama"))
    let json = try #require(source.configuration.object)
    let width = try ModelRegistry.configuration(from: source.configuration).intermediateSize
    let count = try ModelRegistry.configuration(from: source.configuration).layers.count
    let least = [Double](repeating: 1, count: count - 1)
    let bad: [[Double]] = [
      [], [Double(width)], least + [Double(width - 1)], least + [Double(width) + 0.5], [0] + least,
    ]
    func refuses(_ widths: [Double], _ field: String, in json: JSONObject) throws {
      var object = json
      object[field] = .array(widths.map { .double($0) })
      let error = #expect(throws: ModelError.self) {
        try ModelRegistry.configuration(from: .object(object))
      }
      #expect("\(try #require(error))".contains(field), "\(widths)")
    }
    for widths in bad { try refuses(widths, "intermediate_sizes", in: json) }
    let heads: [[Double]] = [[], [2], [1, 1], [2, 3], [2, 0], [2, 1.5], [2, 2, 2]]
    for counts in heads { try refuses(counts, "num_key_value_heads_per_layer", in: json) }
    let bloom = try Checkpoint.open(Fixtures.path("tiny/bloom"))
    let configuration = try ModelRegistry.configuration(from: bloom.configuration)
    try refuses(
      Array(repeating: Double(configuration.keyValueHeads), count: configuration.layers.count),
      "num_key_value_heads_per_layer", in: try #require(bloom.configuration.object))
  }

  /// A layer whose outputs are zero turns nothing and goes first, whatever its place; what is left is the same model.
  @Test(arguments: ["tiny/llama", "tiny/gpt2", "tiny/bloom", "tiny/qwen2"])
  func `the layer that does nothing is the one taken out`(_ fixture: String) throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    let count = configuration.layers.count
    let inventory = try TensorInventory(configuration, in: source)
    let idle = inventory.sites(configuration)[0].filter {
      $0.role == .attentionOutput || $0.role == .down
    }
    // A copy of the model with the first layer's two outputs, and their biases, made zero.
    var tensors: [String: [UInt8]] = [:]
    for site in idle {
      for name in [site.module + ".weight", site.module + ".bias"] {
        guard let entry = source.tensors[name] else { continue }
        tensors[name] = [UInt8](repeating: 0, count: entry.byteRange.count)
      }
    }
    let edited = folder.path + "/edited"
    try Self.copy(source, to: edited, replacing: tensors)
    let samples = (0..<2).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    var pruner = try LayerPruner(
      try Checkpoint.open(edited), part: 1.0 / Double(count), calibration: CalibrationSet(samples: samples),
      backend: CPUBackend(threads: 1))
    try pruner.run(output: folder.path + "/small")
    #expect(pruner.kept == Array(1..<count))
    #expect(pruner.influences[0] < 1e-6)
    let window = randomTokens(32, below: configuration.vocabularySize, seed: 9)
    let small = try Self.graph(folder.path + "/small")
    #expect(small.configuration.layers.count == count - 1)
    let (left, right) = (try Self.logits(small, window), try Self.logits(Self.graph(edited), window))
    let scale = right.map(abs).max() ?? 0
    for (a, b) in zip(left, right) { #expect(abs(a - b) <= 1e-6 * scale) }
  }

  /// A tensor's bytes with each element from another place, or zero; nil where there is no such tensor.
  private static func bytes(
    of name: String, in source: Checkpoint, _ place: (_ row: Int, _ column: Int) -> (row: Int, column: Int)?
  ) throws -> [UInt8]? {
    guard let entry = source.tensors[name] else { return nil }
    let (columns, size) = (entry.shape.count == 1 ? 1 : entry.shape[1], entry.dataType.byteCount)
    let bytes = try unsafe Array(source.rawTensor(name).bytes)
    var moved = [UInt8](repeating: 0, count: bytes.count)
    for row in 0..<entry.shape[0] {
      for column in 0..<columns {
        guard let from = place(row, column) else { continue }
        for byte in 0..<size {
          moved[(row * columns + column) * size + byte] =
            bytes[(from.row * columns + from.column) * size + byte]
        }
      }
    }
    return moved
  }

  private static func copy(_ source: Checkpoint, to path: String, replacing: [String: [UInt8]]) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for name in ["config.json", "tokenizer.json"] {
      try? FileManager.default.copyItem(atPath: source.path + "/" + name, toPath: path + "/" + name)
    }
    var writer = try SafetensorsWriter(
      path: path + "/model.safetensors",
      tensors: source.tensorNames.map {
        .init(
          name: $0, dataType: source.tensors[$0]?.dataType ?? .float32, shape: source.tensors[$0]?.shape ?? []
        )
      })
    for name in source.tensorNames {
      if let bytes = replacing[name] {
        try writer.write(name, bytes)
      } else {
        let raw = try source.rawTensor(name)
        try unsafe writer.write(name, raw.bytes)
      }
    }
    try writer.finish()
  }

  /// RMSNorms of the smaller model must make up for the components they no longer see; biases and both kinds of
  /// embeddings are cut with them. With a quarter of them left, norms double: exact in any type.
  @Test(arguments: ["tiny/llama", "tiny/mistral", "tiny/qwen2", "families/llama-biases"])
  func `without some components the model is the original with them zeroed`(_ fixture: String) throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    let samples = (0..<2).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    var pruner = try HiddenPruner(
      source, part: 0.75, compensates: false, calibration: CalibrationSet(samples: samples),
      backend: CPUBackend(threads: 1))
    var steps: [Int] = []
    try pruner.run(output: folder.path + "/small") { done, _ in steps.append(done) }
    #expect(steps == Array(1...2 * configuration.layers.count))
    let gone = Set(0..<configuration.hiddenSize).subtracting(pruner.kept)
    #expect(gone.count == Int(Double(configuration.hiddenSize) * 0.75))
    let (group, inventory) = (
      DependencyGroups(configuration).stream, try TensorInventory(configuration, in: source)
    )
    var edited: [String: [UInt8]] = [:]
    func zero(_ name: String, _ isGone: (_ row: Int, _ column: Int) -> Bool) throws {
      edited[name] = try Self.bytes(of: name, in: source) { isGone($0, $1) ? nil : ($0, $1) }
    }
    for table in group.tables {
      try zero(inventory.prefix + table + ".weight") { _, column in gone.contains(column) }
    }
    for site in inventory.sites(configuration).joined() where group.writers.contains(site.role) {
      for name in [site.module + ".weight", site.module + ".bias"] {
        try zero(name) { row, _ in gone.contains(row) }
      }
    }
    try Self.copy(source, to: folder.path + "/zeroed", replacing: edited)
    let small = try Self.graph(folder.path + "/small")
    #expect(small.configuration.hiddenSize == pruner.kept.count)
    #expect(small.configuration.decoder.tiesEmbeddings == configuration.decoder.tiesEmbeddings)
    let window = randomTokens(32, below: configuration.vocabularySize, seed: 9)
    let (left, right) = (
      try Self.logits(small, window), try Self.logits(Self.graph(folder.path + "/zeroed"), window)
    )
    let scale = right.map(abs).max() ?? 0
    for (a, b) in zip(left, right) { #expect(abs(a - b) <= 1e-5 * scale) }
    #expect((try Self.logits(Self.graph(Fixtures.path(fixture)), window)) != right)
  }

  /// Every component has a twin, so that one that goes is a multiple of another in all that readers see.
  @Test func `a component's twin stands in for it`() throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path("families/llama-biases"))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    let (group, inventory) = (
      DependencyGroups(configuration).stream, try TensorInventory(configuration, in: source)
    )
    var edited: [String: [UInt8]] = [:]
    for name in group.tables.map({ inventory.prefix + $0 + ".weight" }) {
      edited[name] = try Self.bytes(of: name, in: source) { ($0, $1 / 2 * 2) }
    }
    for site in inventory.sites(configuration).joined() where group.writers.contains(site.role) {
      for name in [site.module + ".weight", site.module + ".bias"] {
        edited[name] = try Self.bytes(of: name, in: source) { ($0 / 2 * 2, $1) }
      }
    }
    try Self.copy(source, to: folder.path + "/twins", replacing: edited)
    let twins = try Checkpoint.open(folder.path + "/twins")
    let samples = (0..<8).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    let window = randomTokens(32, below: configuration.vocabularySize, seed: 9)
    let original = try Self.logits(Self.graph(twins.path), window)
    var distances: [Double] = []
    for compensates in [false, true] {
      var pruner = try HiddenPruner(
        twins, part: 0.025, compensates: compensates, calibration: CalibrationSet(samples: samples),
        backend: CPUBackend(threads: 1))
      let path = folder.path + "/\(compensates)"
      try pruner.run(output: path)
      #expect(pruner.kept.count == 39)
      let found = try Self.logits(try Self.graph(path), window)
      distances.append(zip(found, original).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) })
    }
    #expect(distances[1] < 0.1 * distances[0], "\(distances)")
  }

  @Test func `components of centred norms stay`() throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/gpt2"))
    let calibration = CalibrationSet(samples: [[1, 2, 3]])
    #expect(throws: StructuredPruner.Problem.centredNorms(family: "gpt2")) {
      _ = try HiddenPruner(source, part: 0.5, calibration: calibration, backend: CPUBackend(threads: 1))
    }
    let llama = try Checkpoint.open(Fixtures.path("tiny/llama"))
    #expect(throws: StructuredPruner.Problem.nothingLeft(what: "hidden components")) {
      _ = try HiddenPruner(llama, part: 1, calibration: calibration, backend: CPUBackend(threads: 1))
    }
  }

  /// Groups are data; what differs between families is whether there is a second table and a tensor of the output's own.
  @Test func `the stream's group knows tables, norms and ties`() throws {
    func stream(_ fixture: String) throws -> StreamGroup {
      let source = try Checkpoint.open(Fixtures.path(fixture))
      return DependencyGroups(try ModelRegistry.configuration(from: source.configuration)).stream
    }
    let llama = try stream("tiny/llama")
    #expect(
      llama.readers == [.query, .key, .value, .gate, .up] && llama.writers == [.attentionOutput, .down])
    #expect(llama.tables == ["embed_tokens"] && llama.output == "lm_head" && llama.norms == ["norm"])
    #expect(try stream("demo").output == nil)
    let gpt2 = try stream("tiny/gpt2")
    #expect(gpt2.readers == [.queryKeyValue, .up] && gpt2.tables == ["wte", "wpe"] && gpt2.output == nil)
    #expect(try stream("tiny/bloom").norms.count == 2)
  }

  @Test func `no layer may be left over`() throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/llama"))
    #expect(throws: StructuredPruner.Problem.nothingLeft(what: "layers")) {
      _ = try LayerPruner(
        source, part: 1, calibration: CalibrationSet(samples: [[1, 2, 3]]), backend: CPUBackend(threads: 1))
    }
  }

  @Test func `a family that cannot say its size is refused`() throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/bloom"))
    let calibration = CalibrationSet(samples: [[1, 2, 3]])
    #expect(throws: StructuredPruner.Problem.fixed(family: "bloom", what: "the feed-forward's width")) {
      _ = try StructuredPruner(
        source, .init(heads: 0, channels: 0.5), calibration: calibration, backend: CPUBackend(threads: 1))
    }
    let llama = try Checkpoint.open(Fixtures.path("tiny/llama"))
    #expect(throws: StructuredPruner.Problem.nothingLeft(what: "heads")) {
      var pruner = try StructuredPruner(
        llama, .init(heads: 1, channels: 0), calibration: calibration, backend: CPUBackend(threads: 1))
      try pruner.run(output: "/nowhere")
    }
  }
}

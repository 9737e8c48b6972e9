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

@Suite("Pruning")
struct PruningTests {
  private static func zeros(_ result: CompressedLinear, row: Int) -> Set<Int> {
    Set((0..<result.values.columns).filter { result.values[row, $0] == 0 })
  }

  @Test(arguments: ["magnitude", "wanda", "sparsegpt"], ["0.5", "2:4", "4:8", "0.25"])
  func `as many weights become zero as were asked for, and the store knows`(
    _ method: String, _ text: String
  ) throws {
    let sparsity = try #require(Sparsity(text))
    for bits in [nil, 4] {
      let problem = try Problem(
        rows: 24, columns: 64, seed: 1, bits: bits, groupSize: bits == nil ? nil : 32,
        convention: .asymmetric,
        sparsity: sparsity, scaleType: .bfloat16)
      let result = try problem.solve(method)
      #expect(try Problem.decode(result) == result.values.array)
      var count = 0
      for row in 0..<24 {
        let zeros = Self.zeros(result, row: row)
        count += zeros.count
        if case .pattern(let keep, let of) = sparsity {
          for start in stride(from: 0, to: 64, by: of) {
            let inRun = (start..<start + of).filter { zeros.contains($0) }.count
            // A kept weight may be rounded to zero.
            #expect(bits == nil ? inRun == of - keep : inRun >= of - keep)
          }
        } else if method == "wanda", bits == nil {
          #expect(zeros.count == Int(64 * sparsity.fraction))
        }
      }
      let wanted = Int(24 * 64 * sparsity.fraction)
      #expect(bits == nil ? count == wanted : count >= wanted)
    }
  }

  @Test(arguments: ["0.5", "2:4"])
  func `on correlated inputs SparseGPT beats Wanda and magnitude by far`(_ text: String) throws {
    let problem = try Problem(rows: 48, columns: 128, seed: 2, bits: nil, sparsity: Sparsity(text))
    let errors = try ["sparsegpt", "wanda", "magnitude"].map { try problem.outputError(problem.solve($0)) }
    #expect(errors[0] * 1.5 < errors[1])
    #expect(errors[0] * 1.5 < errors[2])
  }

  @Test func `with loud channels Wanda beats magnitude`() throws {
    let problem = try Problem(
      rows: 32, columns: 96, seed: 3, bits: nil, sparsity: .unstructured(0.5), loud: [7, 50, 61])
    let wanda = try problem.outputError(problem.solve("wanda"))
    #expect(wanda * 2 < (try problem.outputError(problem.solve("magnitude"))))
  }

  @Test func `with equal activation norms Wanda is magnitude in each row`() throws {
    let base = try Problem(rows: 20, columns: 16, seed: 4, bits: nil, sparsity: .unstructured(0.5))
    var statistics = ActivationStatistics(inputs: 16, gram: true)
    try statistics.add([Float](repeating: 0.5, count: 16), rows: 1, on: base.backend)
    let problem = LinearProblem(
      site: base.problem.site, scheme: base.problem.scheme, weight: base.problem.weight,
      statistics: statistics, scaleType: .float32)
    let result = try #require(
      try MethodRegistry.method(named: "wanda")?.solve(problem, Recipe.Options(), base.backend))
    for row in 0..<20 {
      let order = (0..<16).sorted { abs(problem.weight[row, $0]) < abs(problem.weight[row, $1]) }
      #expect(Self.zeros(result, row: row) == Set(order.prefix(8)))
    }
  }

  @Test func `Wanda's mask does not see how a channel is scaled between weight and activation`() throws {
    let problem = try Problem(rows: 16, columns: 32, seed: 5, bits: nil, sparsity: .unstructured(0.5))
    let factors = (0..<32).map { [0.25, 1, 4, 2][$0 % 4] as Float }
    let scaled = problem.problem.weight.copy()
    scaled.scaleColumns(by: factors)
    let other = LinearProblem(
      site: problem.problem.site, scheme: problem.problem.scheme, weight: scaled,
      statistics: problem.problem.statistics?.dividing(by: factors), scaleType: .float32)
    let method = try #require(MethodRegistry.method(named: "wanda"))
    let left = try method.solve(problem.problem, Recipe.Options(), problem.backend)
    let right = try method.solve(other, Recipe.Options(), problem.backend)
    for row in 0..<16 { #expect(Self.zeros(left, row: row) == Self.zeros(right, row: row)) }
  }

  @Test(arguments: ["magnitude", "sparsegpt"])
  func `what is zero stays zero when more is pruned`(_ method: String) throws {
    let first = try Problem(rows: 16, columns: 64, seed: 6, bits: nil, sparsity: .unstructured(0.25))
    let pruned = try first.solve(method)
    let second = LinearProblem(
      site: first.problem.site,
      scheme: {
        var s = first.problem.scheme; s.sparsity = .unstructured(0.75); return s
      }(),
      weight: pruned.values, statistics: first.problem.statistics, scaleType: .float32)
    let result = try #require(
      try MethodRegistry.method(named: method)?.solve(second, Recipe.Options(), first.backend))
    for row in 0..<16 {
      #expect(Self.zeros(pruned, row: row).isSubset(of: Self.zeros(result, row: row)))
    }
  }

  /// Several blocks of columns, so that what was zero has moved before its block is reached.
  @Test(arguments: [("0.25", "0.5"), ("0.25", "2:4"), ("2:4", "0.75"), ("0.5", "4:8")])
  func `masks of a growing sparsity lie inside each other`(_ first: String, _ second: String) throws {
    let problem = try Problem(rows: 16, columns: 96, seed: 16, bits: nil, sparsity: Sparsity(first))
    let pruned = try problem.solve("sparsegpt") { $0.blockSize = 32 }
    var scheme = problem.problem.scheme
    scheme.sparsity = Sparsity(second)
    let next = LinearProblem(
      site: problem.problem.site, scheme: scheme, weight: pruned.values,
      statistics: problem.problem.statistics, scaleType: .float32)
    var options = Recipe.Options()
    options.blockSize = 32
    let result = try #require(
      try MethodRegistry.method(named: "sparsegpt")?.solve(next, options, problem.backend))
    var grown = 0
    for row in 0..<16 {
      let (before, after) = (Self.zeros(pruned, row: row), Self.zeros(result, row: row))
      #expect(before.isSubset(of: after))
      grown += after.count - before.count
    }
    #expect(grown > 0)
  }

  @Test(arguments: ["magnitude", "sparsegpt"])
  func `pruned weights are stored without their zeros`(_ method: String) throws {
    for (text, bits, form) in [
      ("2:4", nil, "2:4 bfloat16"), ("0.5", nil, "sparse bfloat16"), ("2:4", 4, "2:4 int4"),
    ]
      as [(String, Int?, String)]
    {
      let problem = try Problem(
        rows: 16, columns: 128, seed: 17, bits: bits, groupSize: 64, sparsity: Sparsity(text),
        scaleType: .bfloat16)
      let result = try problem.solve(method)
      #expect(result.store.summary.hasPrefix(form))
      try result.store.validateValues()
      let wanted = bits == nil ? 9 + (text == "2:4" ? 0 : 64.0 / 128) : 3 + 16.0 / 64
      #expect(abs(result.store.averageBits - wanted) < 0.01 * wanted)
    }
    // A bit for each of ten weights costs more than one weight in sixteen gives back.
    let little = try Problem(
      rows: 16, columns: 128, seed: 17, bits: nil, sparsity: .unstructured(0.03), scaleType: .bfloat16)
    #expect(try little.solve(method).store.summary == "bfloat16")
  }

  @Test func `nothing is pruned at a sparsity of zero`() throws {
    for method in ["magnitude", "wanda", "sparsegpt"] {
      let problem = try Problem(rows: 8, columns: 32, seed: 7, bits: nil, sparsity: .unstructured(0))
      #expect(try problem.solve(method).values.array == problem.problem.weight.array)
    }
  }

  @Test func `half of the weights in 4 bits lose less than all of them in 2`() throws {
    let sparse = try Problem(rows: 48, columns: 128, seed: 8, bits: 4, sparsity: .unstructured(0.5))
    let small = try Problem(rows: 48, columns: 128, seed: 8, bits: 2)
    #expect(
      try sparse.outputError(sparse.solve("sparsegpt")) < small.outputError(small.solve("gptq")))
  }

  @Test func `what a method lacks is said`() throws {
    let none = try Problem(rows: 4, columns: 8, seed: 9, bits: nil)
    #expect(throws: MethodError.needsSparsity(method: "wanda")) { _ = try none.solve("wanda") }
    let odd = try Problem(rows: 4, columns: 10, seed: 9, bits: nil, sparsity: .pattern(keep: 2, of: 4))
    #expect(throws: MethodError.self) { _ = try odd.solve("magnitude") }
  }
}

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
      ("tiny/llama", 0.5, 0.25), ("tiny/qwen2", 0.5, 0.5), ("tiny/gpt2", 0, 0.5),
      ("families/gpt-neox-parallel", 0, 0.3),
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
      #expect(abs(found - removed) <= layers.count * ChannelBudget.unit / 2)
    }
    #expect((small.configuration.queryHeads < configuration.queryHeads) == (heads > 0))
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
    #expect(try ChannelBudget.kept(scores, removing: 0) == [4, 4])
    #expect(try ChannelBudget.kept(scores, removing: 2) == [2, 4])
    #expect(try ChannelBudget.kept(scores, removing: 4) == [2, 2])
    // One stays of each.
    #expect(try ChannelBudget.kept(scores, removing: 6) == [1, 1])
    #expect(throws: StructuredPruner.Problem.self) { try ChannelBudget.kept(scores, removing: 7) }
    let wide = [[Double](repeating: 1, count: 100), [Double](repeating: 0.5, count: 100)]
    #expect(try ChannelBudget.kept(wide, removing: 30) == [100, 72])
    #expect(try ChannelBudget.kept([[], [1]], removing: 0) == [0, 1])
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
    for widths in bad {
      var object = json
      object["intermediate_sizes"] = .array(widths.map { .double($0) })
      let error = #expect(throws: ModelError.self) {
        try ModelRegistry.configuration(from: .object(object))
      }
      #expect("\(try #require(error))".contains("intermediate_sizes"), "\(widths)")
    }
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
      guard let entry = source.tensors[name] else { return }
      var bytes = try unsafe Array(source.rawTensor(name).bytes)
      let (columns, size) = (entry.shape.count == 1 ? 1 : entry.shape[1], entry.dataType.byteCount)
      for row in 0..<entry.shape[0] {
        for column in 0..<columns where isGone(row, column) {
          for byte in 0..<size { bytes[(row * columns + column) * size + byte] = 0 }
        }
      }
      edited[name] = bytes
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

  @Test func `readers make up for components that are gone`() throws {
    let folder = try TemporaryFolder()
    let source = try Checkpoint.open(Fixtures.path("demo"))
    let text = try SafetensorsFile(path: Fixtures.path("demo/calibration.safetensors"))
    let ids = try text.tensor("input_ids").integers().map { Int32($0) }
    let samples = (0..<4).map { Array(ids[$0 * 256..<($0 + 1) * 256]) }
    let window = Array(ids[15000..<15032])
    let original = try Self.logits(try Self.graph(Fixtures.path("demo")), window)
    var distances: [Double] = []
    for compensates in [false, true] {
      var pruner = try HiddenPruner(
        source, part: 0.125, compensates: compensates, calibration: CalibrationSet(samples: samples),
        backend: CPUBackend(threads: 2))
      let path = folder.path + "/\(compensates)"
      try pruner.run(output: path)
      #expect(pruner.kept.count == 224)
      let found = try Self.logits(try Self.graph(path), window)
      distances.append(zip(found, original).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) })
    }
    #expect(distances[1] < 0.9 * distances[0])
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

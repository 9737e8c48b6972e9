import CPUBackend
import Checkpoints
import Compression
import Compute
import Generation
import Models
import Numerics
import TestSupport
import Testing

@Suite("Calibration")
struct CalibratorTests {
  /// Sums of squares of each activation of a plain forward pass over the same samples.
  private static func reference(
    _ checkpoint: Checkpoint, _ samples: [[Int32]]
  ) throws -> [TracePoint: [Double]] {
    let longest = samples.map(\.count).max() ?? 1
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 64, maxSequences: 4, maxModelLength: longest, maxLogitRows: 64))
    var sums: [TracePoint: [Double]] = [:]
    graph.observer = { (point, view) throws(KernelError) in
      var sum = sums[point] ?? [Double](repeating: 0, count: view.columns)
      for row in 0..<view.rows {
        let address = unsafe view.address.assumingMemoryBound(to: Float.self) + row * view.rowStride
        for column in 0..<view.columns {
          let value = unsafe Double(address[column])
          sum[column] += value * value
        }
      }
      sums[point] = sum
    }
    let scorer = try WindowScorer(graph: graph, longestWindow: longest)
    for sample in samples { try scorer.logits(of: [sample]) { _, _, _ in } }
    return sums
  }

  @Test(arguments: familyFixtures)
  func `a layer in parts computes what the whole model does`(_ fixture: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
    let vocabulary = try ModelRegistry.configuration(from: checkpoint.configuration).vocabularySize
    let samples = [24, 17, 24, 1].enumerated().map {
      randomTokens($1, below: vocabulary, seed: UInt64($0 + 1))
    }
    let reference = try Self.reference(checkpoint, samples)
    let calibrator = try Calibrator(
      checkpoint: checkpoint, samples: samples, backend: CPUBackend(threads: 1))
    #expect(calibrator.tokens == 66)
    for layer in calibrator.graph.configuration.layers.indices {
      // In the middle of the walk, and running ahead of it.
      for runsAhead in [true, false] {
        for point in [TracePoint.LayerPoint.attentionNorm, .attention, .feedForwardNorm, .activated] {
          if !runsAhead, point == .feedForwardNorm { try calibrator.advanceAttention(layer) }
          if !runsAhead, point == .attentionNorm || point == .attention { continue }
          // What is kept is the attention that would be computed again.
          let found = try calibrator.statistics(
            of: point, layer: layer, gram: false, keeps: layer.isMultiple(of: 2))
          let expected = try #require(reference[.layer(layer, point)])
          let scale = expected.max() ?? 0
          for (left, right) in zip(found.sumSquares, expected) {
            #expect(abs(left - right) <= 1e-4 * scale, "\(fixture) layer \(layer) \(point)")
          }
        }
      }
      try calibrator.advanceFeedForward(layer)
    }
  }

  @Test(arguments: familyFixtures)
  func `folding leaves a model's outputs as they were`(_ fixture: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 32, maxSequences: 1, maxModelLength: 32, maxLogitRows: 32))
    let scorer = try WindowScorer(graph: graph, longestWindow: 32)
    let window = randomTokens(32, below: configuration.vocabularySize, seed: 5)
    func logits() throws -> [Float] {
      var all: [Float] = []
      try scorer.logits(of: [window]) { _, _, row in for index in row.indices { all.append(row[index]) } }
      return all
    }
    let before = try logits()
    let inventory = try TensorInventory(configuration, in: checkpoint)
    let map = FoldMap(configuration)
    #expect(!map.folds.isEmpty)
    var generator = SeededGenerator(seed: 6)
    for (layer, sites) in inventory.sites(configuration).enumerated() {
      let weights = try LayerWeights(
        sites, norms: inventory.norms(layer: layer, configuration.decoder), checkpoint: checkpoint,
        decoder: configuration.decoder)
      for fold in map.folds {
        let channels = sites.first { $0.role == fold.consumers[0] }?.inputs ?? 0
        weights.apply(fold, (0..<channels).map { _ in Float.random(in: 0.2..<5, using: &generator) })
      }
      try weights.install(sites.map(\.role), in: graph)
    }
    let after = try logits()
    let scale = before.map(abs).max() ?? 0
    for (left, right) in zip(before, after) { #expect(abs(left - right) <= 2e-5 * scale) }
  }

  @Test func `folds that would change the model are refused with their reason`() throws {
    func map(_ fixture: String) throws -> FoldMap {
      FoldMap(try ModelRegistry.configuration(from: Checkpoint.open(Fixtures.path(fixture)).configuration))
    }
    let grouped = try map("tiny/llama")
    #expect(grouped.refused[.attentionOutput]?.contains("share") == true)
    #expect(!grouped.folds.contains { $0.consumers == [.attentionOutput] })
    let gelu = try map("tiny/gpt2")
    #expect(gelu.refused[.down]?.contains("gelu") == true)
    #expect(gelu.folds.contains { $0.consumers == [.attentionOutput] })
  }

  @Test func `samples come from ids or text, and what is wrong with them is said`() throws {
    let folder = try TemporaryFolder()
    func write(_ name: String, _ ids: [Int32], _ shape: [Int]) throws -> String {
      let path = folder.path + "/" + name
      var writer = try SafetensorsWriter(
        path: path, tensors: [.init(name: "input_ids", dataType: .int32, shape: shape)])
      try writer.write("input_ids", ids)
      try writer.finish()
      return path
    }
    let matrix = try write("a.safetensors", [1, 2, 3, 4, 5, 6], [2, 3])
    #expect(try CalibrationSet(file: matrix, vocabulary: 9).samples == [[1, 2, 3], [4, 5, 6]])
    #expect(try CalibrationSet(file: matrix, count: 1, vocabulary: 9).samples == [[1, 2, 3]])
    #expect(throws: CalibrationSet.Problem.token(source: matrix, value: 4, limit: 4)) {
      _ = try CalibrationSet(file: matrix, vocabulary: 4)
    }
    let cube = try write("b.safetensors", [1], [1, 1, 1])
    #expect(throws: CalibrationSet.Problem.shape(source: cube, tensor: "input_ids", shape: [1, 1, 1])) {
      _ = try CalibrationSet(file: cube, vocabulary: 9)
    }
    let none = try write("c.safetensors", [], [0, 4])
    #expect(throws: CalibrationSet.Problem.empty(source: none)) {
      _ = try CalibrationSet(file: none, vocabulary: 9)
    }
    let text = try CalibrationSet(text: [Int32](0..<10), source: "t", count: 2, length: 4)
    #expect(text.samples == [[0, 1, 2, 3], [6, 7, 8, 9]])
    #expect(throws: CalibrationSet.Problem.tooShort(source: "t", tokens: 3, needed: 4)) {
      _ = try CalibrationSet(text: [1, 2, 3], source: "t", count: 2, length: 4)
    }
    #expect(text.digest != CalibrationSet(samples: [[0, 1, 2, 3, 6, 7, 8, 9]]).digest)
  }
}

import CPUBackend
import Checkpoints
import Compression
import Compute
import Generation
import JSON
import Models
import Numerics
import TestSupport
import Testing

/// What `compress` writes of pruned layers, read again.
@Suite("Sparse output")
struct SparseOutputTests {
  private static func compress(
    _ fixture: String, _ method: String, to output: String, format: CheckpointFormat = .compressedTensors,
    samples: Int = 3, change: (inout Recipe) -> Void
  ) throws -> CompressionSummary {
    let source = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    var recipe = try #require(MethodRegistry.method(named: method)).defaults
    change(&recipe)
    let tokens = (0..<samples).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    var job = Compressor.Job(
      source: source, recipe: recipe, calibration: samples == 0 ? nil : CalibrationSet(samples: tokens),
      output: output)
    job.format = format
    return try Compressor(job, backend: CPUBackend(threads: 1)).run()
  }

  private static func logits(_ path: String) throws -> [Float] {
    let graph = try ModelGraph(
      checkpoint: Checkpoint.open(path), backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 16, maxSequences: 1, maxModelLength: 16, maxLogitRows: 16))
    #expect(graph.unusedTensors == [])
    var all: [Float] = []
    let window = randomTokens(16, below: graph.configuration.vocabularySize, seed: 9)
    try WindowScorer(graph: graph, longestWindow: 16).logits(of: [window]) { _, _, row in
      for index in row.indices { all.append(row[index]) }
    }
    return all
  }

  /// Masks are exact, so the model without its zeros gives the bits of the one with them, in every family.
  @Test(arguments: familyFixtures, ["2:4", "0.5"])
  func `a sparse output computes what the dense one does`(_ fixture: String, _ text: String) throws {
    let folder = try TemporaryFolder()
    if fixture == "families/gpt2-odd", text == "2:4" {
      // 30 inputs are no whole runs of four.
      #expect(throws: MethodError.self) {
        _ = try Self.compress(fixture, "magnitude", to: folder.path + "/odd", samples: 0) {
          $0.scheme.sparsity = Sparsity(text)
        }
      }
      return
    }
    for format in [CheckpointFormat.compressedTensors, .dense] {
      _ = try Self.compress(
        fixture, "magnitude", to: folder.path + "/" + format.rawValue, format: format, samples: 0
      ) { $0.scheme.sparsity = Sparsity(text) }
    }
    let sparse = try Checkpoint.open(folder.path + "/compressed-tensors")
    #expect(
      sparse.configuration["quantization_config"]?["sparsity_config"]?["format"]?.string
        == (text == "2:4" ? "sparse-24-bitmask" : "sparse-bitmask"))
    #expect(try Self.logits(folder.path + "/compressed-tensors") == Self.logits(folder.path + "/dense"))
    // And back, bit for bit.
    try CheckpointConversion(sparse, to: .dense).write(to: folder.path + "/again", tokenizer: folder.path)
    let (again, dense) = (
      try Checkpoint.open(folder.path + "/again"), try Checkpoint.open(folder.path + "/dense")
    )
    #expect(again.tensorNames == dense.tensorNames)
    for name in dense.tensorNames {
      #expect(try again.rawTensor(name).floats() == dense.rawTensor(name).floats(), "\(name)")
    }
  }

  /// Bits a weight, of codes with a 16-bit scale for 64 inputs; beside them, but for 2:4, an offset of 64 bits a row.
  @Test(
    arguments: [
      ("2:4", nil, 9), ("0.5", nil, 9), ("0.75", nil, 5), ("4:8", nil, 9), ("2:4", 4, 3.25), ("2:4", 8, 5.25),
    ] as [(String, Int?, Double)])
  func `files are as large as the bits say`(_ text: String, _ bits: Int?, _ wanted: Double) throws {
    let folder = try TemporaryFolder()
    let summary = try Self.compress("demo", "magnitude", to: folder.path, samples: 0) { recipe in
      recipe.scheme.sparsity = Sparsity(text)
      recipe.scheme.bits = bits
      recipe.scheme.groupSize = 64
      for layer in 1...5 {
        var override = Recipe.Override(pattern: "layers.\(layer).*")
        override.skip = true
        recipe.overrides.append(override)
      }
    }
    let output = try Checkpoint.open(folder.path)
    var (bytes, weights, formula) = (0, 0, 0.0)
    for site in summary.compressed {
      let linear = try #require(try output.linear(site.module))
      bytes += linear.byteCount
      weights += site.outputs * site.inputs
      let offsets = text == "2:4" ? 0 : 64 / Double(site.inputs)
      formula += Double(site.outputs * site.inputs) * (wanted + offsets) / 8
    }
    #expect(weights > 500_000)
    #expect(abs(Double(bytes) - formula) < 0.01 * formula)
  }

  @Test func `an error budget prunes each layer as far as it allows`() throws {
    let folder = try TemporaryFolder()
    let summary = try Self.compress("tiny/llama", "wanda", to: folder.path + "/some") {
      $0.options.errorBudget = 0.05
    }
    #expect(summary.compressed.count > 4)
    for site in summary.compressed {
      let error = try #require(site.outputError)
      #expect(error <= 0.05 && (site.zeros ?? 0) > 0.04)
      #expect(site.notes.contains { $0.contains("by the error budget") })
    }
    #expect(Set(summary.compressed.compactMap(\.zeros)).count > 1)
    // What the budget leaves over is less than another step: with twice of it every layer gets at least as sparse.
    let more = try Self.compress("tiny/llama", "wanda", to: folder.path + "/more") {
      $0.options.errorBudget = 0.1
      $0.options.trueSequential = false
    }
    let less = try Self.compress("tiny/llama", "wanda", to: folder.path + "/less") {
      $0.options.errorBudget = 0.05
      $0.options.trueSequential = false
    }
    let pairs = zip(less.sites, more.sites).filter { $0.layer == 0 && $1.layer == 0 }
    for (small, large) in pairs { #expect((small.zeros ?? 0) <= (large.zeros ?? 0)) }
    let none = try Self.compress("tiny/llama", "wanda", to: folder.path + "/none") {
      $0.options.errorBudget = 0
      $0.scheme.sparsity = .pattern(keep: 2, of: 4)
    }
    #expect(none.compressed.isEmpty)
    #expect(none.sites.allSatisfy { $0.notes.contains { $0.contains("left alone") } })
    #expect(throws: MethodError.needsCalibration(method: "an error budget")) {
      _ = try Self.compress("tiny/llama", "magnitude", to: folder.path + "/bad", samples: 0) {
        $0.options.errorBudget = 0.1
        $0.scheme.sparsity = .unstructured(0.5)
      }
    }
  }

  @Test func `the report says what zeros gain and cost`() throws {
    let folder = try TemporaryFolder()
    let pairs = try Self.compress("tiny/llama", "magnitude", to: folder.path + "/a", samples: 0) {
      $0.scheme.sparsity = .pattern(keep: 2, of: 4)
    }
    var report = CompressionReport(pairs)
    report.quality = ["perplexity_ratio": 1.345]
    for device in ["H200", "A100", "RTX 4090"] {
      #expect(
        report.warnings.contains { $0.hasPrefix("2:4 on an \(device)") && $0.contains("nothing measured") })
    }
    #expect(report.warnings.contains { $0.hasPrefix("2:4 without tuning costs 34.5 % of perplexity") })
    let any = try Self.compress("tiny/llama", "magnitude", to: folder.path + "/b", samples: 0) {
      $0.scheme.sparsity = .unstructured(0.5)
    }
    #expect(CompressionReport(any).warnings.contains { $0.contains("but no GPU time") })
  }
}

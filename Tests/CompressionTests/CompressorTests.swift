import CPUBackend
import Checkpoints
import Compression
import Compute
import JSON
import Models
import Numerics
import TestSupport
import Testing

internal import Foundation

@Suite("A whole compression")
struct CompressorTests {
  private static func job(
    _ fixture: String, _ method: String, output: String, format: CheckpointFormat = .compressedTensors,
    samples: Int = 3, change: (inout Recipe) -> Void = { _ in }
  ) throws -> Compressor.Job {
    let source = try Checkpoint.open(Fixtures.path(fixture))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    var recipe = try #require(MethodRegistry.method(named: method)).defaults
    if let size = recipe.scheme.groupSize, size > 32 { recipe.scheme.groupSize = 32 }
    change(&recipe)
    let tokens = (0..<samples).map { randomTokens(24, below: configuration.vocabularySize, seed: UInt64($0)) }
    var job = Compressor.Job(
      source: source, recipe: recipe,
      calibration: samples == 0 ? nil : CalibrationSet(samples: tokens), output: output)
    job.format = format
    return job
  }

  private static func run(_ job: Compressor.Job, shouldStop: @escaping () -> Bool = { false }) throws
    -> CompressionSummary
  {
    try Compressor(job, backend: CPUBackend(threads: 1), shouldStop: shouldStop).run()
  }

  private static func bytes(_ folder: String, _ name: String) throws -> [UInt8] {
    try Fixtures.read(folder + "/" + name)
  }

  @Test(arguments: familyFixtures)
  func `a dense output loads as the same family, its values those of the codes`(_ fixture: String) throws {
    let folder = try TemporaryFolder()
    let summary = try Self.run(
      try Self.job(fixture, "gptq", output: folder.path, format: .dense) { $0.scheme.bits = 8 })
    let output = try Checkpoint.open(folder.path)
    let source = try Checkpoint.open(Fixtures.path(fixture))
    #expect(output.tensorNames == source.tensorNames)
    let graph = try ModelGraph(
      checkpoint: output, backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 16, maxSequences: 1, maxModelLength: 16, maxLogitRows: 1))
    #expect(graph.unusedTensors == [])
    for name in output.tensorNames {
      let (after, before) = (try output.rawTensor(name).floats(), try source.rawTensor(name).floats())
      let isCompressed = summary.sites.contains { $0.module + ".weight" == name }
      // 8 bits are close, whatever compensation moved.
      let scale = before.map(abs).max() ?? 0
      for (left, right) in zip(after, before) {
        #expect(isCompressed ? abs(left - right) <= 0.05 * scale : left == right, "\(name)")
      }
    }
  }

  @Test(arguments: ["gptq", "awq", "smoothquant", "rtn"], [0, 3600])
  func `a run that was stopped goes on to the same bytes`(_ method: String, _ streamInterval: Int) throws {
    let (whole, parts) = (try TemporaryFolder(), try TemporaryFolder())
    let first = try Self.run(try Self.job("tiny/qwen2", method, output: whole.path))
    let asked = Counter()
    var job = try Self.job("tiny/qwen2", method, output: parts.path)
    job.streamInterval = .seconds(streamInterval)
    // Stops ever later, so that layers end between stops.
    var resumed: CompressionSummary?
    for limit in [1, 2, 3, 12, 40, Int.max] {
      asked.value = 0
      do {
        resumed = try Self.run(job) {
          asked.value += 1
          return asked.value > limit
        }
        break
      } catch is Calibrator.Stopped {}
    }
    #expect(resumed?.sites == first.sites)
    for name in ["model.safetensors", "config.json"] {
      #expect(try Self.bytes(whole.path, name) == Self.bytes(parts.path, name))
    }
    #expect(!FileManager.default.fileExists(atPath: parts.path + "/.compress"))
  }

  private final class Counter { var value = 0 }

  @Test func `the journal of another run is refused`() throws {
    let folder = try TemporaryFolder()
    #expect(throws: Calibrator.Stopped()) {
      _ = try Self.run(try Self.job("tiny/llama", "gptq", output: folder.path)) { true }
    }
    #expect(throws: Journal.Problem.foreign(folder: folder.path + "/.compress")) {
      _ = try Self.run(try Self.job("tiny/llama", "gptq", output: folder.path) { $0.scheme.bits = 3 })
    }
  }

  @Test func `what is left alone stays byte for byte, and is listed`() throws {
    let folder = try TemporaryFolder()
    let summary = try Self.run(
      try Self.job("tiny/llama", "rtn", output: folder.path, samples: 0) { recipe in
        var skip = Recipe.Override(pattern: "*.down_proj")
        skip.skip = true
        var fine = Recipe.Override(pattern: "q_proj")
        fine.bits = 8
        recipe.overrides = [skip, fine]
      })
    let output = try Checkpoint.open(folder.path)
    let source = try Checkpoint.open(Fixtures.path("tiny/llama"))
    let name = "model.layers.0.mlp.down_proj"
    let left = try output.rawTensor(name + ".weight")
    let right = try source.rawTensor(name + ".weight")
    let leftBytes = unsafe left.withBytes { unsafe [UInt8]($0) }
    let rightBytes = unsafe right.withBytes { unsafe [UInt8]($0) }
    #expect(leftBytes == rightBytes)
    #expect(summary.sites.first { $0.module == name }?.isCompressed == false)
    let settings = try #require(output.configuration["quantization_config"])
    #expect(settings["ignore"]?.array?.contains(.string(name)) == true)
    let groups = try #require(settings["config_groups"]?.object)
    #expect(groups.count == 2)
    for (_, group) in groups {
      let bits = group["weights"]?["num_bits"]?.int
      let targets = group["targets"]?.array?.compactMap(\.string) ?? []
      #expect(targets.allSatisfy { $0.hasSuffix("q_proj") == (bits == 8) && $0 != name })
    }
    #expect(output.tensors["model.layers.0.self_attn.q_proj.weight"] == nil)
    #expect(output.tensors["model.layers.0.self_attn.q_proj.weight_packed"] != nil)
  }

  @Test func `a group size that does not divide a row is replaced, and the note says by what`() throws {
    let folder = try TemporaryFolder()
    let summary = try Self.run(
      try Self.job("tiny/llama", "rtn", output: folder.path, samples: 0) { $0.scheme.groupSize = 48 })
    for site in summary.sites where site.inputs % 48 != 0 && site.inputs > 48 {
      #expect(site.notes.contains { $0.hasPrefix("groups of 48 do not divide") })
    }
  }

  @Test func `a byte budget is kept, and spent on what gains most`() throws {
    let folder = try TemporaryFolder()
    let all = try TemporaryFolder()
    let four = try Self.run(try Self.job("tiny/llama", "rtn", output: all.path))
    let budget = four.sites.reduce(0) { $0 + ($1.bytes ?? 0) }
    let summary = try Self.run(
      try Self.job("tiny/llama", "gptq", output: folder.path) { $0.budgetBytes = budget })
    let used = summary.sites.reduce(0) { $0 + ($1.bytes ?? 0) }
    #expect(used <= budget && Double(used) > 0.9 * Double(budget))
    let small = try TemporaryFolder()
    #expect(throws: BitAllocation.Problem.self) {
      _ = try Self.run(try Self.job("tiny/llama", "rtn", output: small.path) { $0.budgetBytes = 100 })
    }
  }

  @Test func `bad input is refused before anything is written`() throws {
    let folder = try TemporaryFolder()
    let output = folder.path + "/new"
    #expect(throws: MethodError.needsCalibration(method: "gptq")) {
      _ = try Self.run(try Self.job("tiny/llama", "gptq", output: output, samples: 0))
    }
    var job = try Self.job("tiny/llama", "rtn", output: Fixtures.path("tiny/llama"))
    #expect(throws: Compressor.Problem.sameDirectory(path: job.output)) { _ = try Self.run(job) }
    job.source = try Checkpoint.open(Fixtures.path("gguf/llama-bf16.gguf"))
    #expect(throws: Compressor.Problem.notADirectory(path: job.source.path)) { _ = try Self.run(job) }
    let quantised = try TemporaryFolder()
    _ = try Self.run(try Self.job("tiny/llama", "rtn", output: quantised.path))
    #expect(throws: Compressor.Problem.alreadyCompressed(path: quantised.path)) {
      job.source = try Checkpoint.open(quantised.path)
      job.output = output
      _ = try Self.run(job)
    }
  }

  @Test func `a weight that is not finite is refused by name`() throws {
    let folder = try TemporaryFolder()
    let broken = folder.path + "/broken"
    try FileManager.default.copyItem(atPath: Fixtures.path("tiny/llama"), toPath: broken)
    var bytes = try Self.bytes(broken, "model.safetensors")
    let entry = try #require(
      try Checkpoint.open(broken).tensors["model.layers.1.mlp.up_proj.weight"])
    for index in entry.byteRange.prefix(4) { bytes[index] = 0xFF }
    try Data(bytes).write(to: URL(fileURLWithPath: broken + "/model.safetensors"))
    var job = try Self.job("tiny/llama", "rtn", output: folder.path + "/out", samples: 0)
    job.source = try Checkpoint.open(broken)
    #expect(
      throws: MethodError.notFinite(module: "model.layers.1.mlp.up_proj", what: "the weight")
    ) { _ = try Self.run(job) }
  }

  @Test func `the report warns of what is no gain`() throws {
    func report(_ method: String, _ change: (inout Recipe) -> Void = { _ in }) throws -> CompressionReport {
      let folder = try TemporaryFolder()
      var report = CompressionReport(
        try Self.run(try Self.job("tiny/llama", method, output: folder.path, change: change)))
      report.speed = [
        "device": "cpu", "source": ["prefill": 100, "decode": 20], "output": ["prefill": 90, "decode": 30],
      ]
      return report
    }
    let mixed = try report("llm.int8").warnings
    #expect(mixed.contains { $0.hasPrefix("LLM.int8 saves memory, not time") })
    #expect(mixed.contains("prefill is slower than the original's on cpu: 90.0 against 100.0 tokens/s"))
    #expect(!mixed.contains { $0.hasPrefix("decode") || $0.contains("no GPU kernel") })
    #expect(
      try report("rtn") { $0.scheme.bits = 8 }.warnings.contains { $0.hasPrefix("int8 weights alone") })
    let columns = try report("owq") { $0.options.outlierColumns = 0.1 }
    #expect(columns.warnings.contains { $0.contains("columns in 16 bits beside the codes") })
    #expect(columns.json["layers"]?.array?.first?["widened"]?.string != nil)
  }

  @Test func `the report gives bytes, bits, errors and warnings`() throws {
    let folder = try TemporaryFolder()
    let summary = try Self.run(
      try Self.job("tiny/llama", "gptq", output: folder.path) { $0.scheme.bits = 2 })
    var report = CompressionReport(summary)
    report.quality = ["perplexity": 2.5, "reference_perplexity": 2, "perplexity_ratio": 1.25]
    #expect(report.warnings.contains { $0.hasPrefix("below 4 bits") })
    #expect(report.warnings.contains { $0.hasPrefix("perplexity rose by 25 %") })
    #expect(report.warnings.contains { $0.contains("rank-deficient") })
    #expect(report.json["average_bits"]?.double == summary.averageBits)
    #expect(report.json["layers"]?.array?.count == summary.sites.count)
    #expect(report.json["speed"]?.string == "not measured")
    #expect(report.markdown.contains("| speed | | not measured |"))
    let bits = try #require(summary.averageBits)
    // Two bits, and a 16- or 32-bit scale for each group of 32.
    #expect(bits >= 2 + 16.0 / 32 && bits <= 2 + 32.0 / 32 + 0.01)
    for site in summary.sites { #expect((site.outputError ?? 0) > 0) }
  }
}

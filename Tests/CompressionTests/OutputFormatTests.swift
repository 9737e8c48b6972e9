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

/// `compress --format`: what is written at once is what converting the default format would write.
@Suite("Output formats")
struct OutputFormatTests {
  /// The demo's first layer, whose weights are bfloat16.
  private static func job(
    _ method: String, _ format: CheckpointFormat, output: String,
    change: (inout Recipe) -> Void = { _ in }
  ) throws -> Compressor.Job {
    let source = try Checkpoint.open(Fixtures.path("demo"))
    var recipe = try #require(MethodRegistry.method(named: method)).defaults
    recipe.scheme.groupSize = 64
    for layer in 1...5 {
      var override = Recipe.Override(pattern: "layers.\(layer).*")
      override.skip = true
      recipe.overrides.append(override)
    }
    change(&recipe)
    let samples = (0..<2).map { randomTokens(24, below: 500, seed: UInt64($0)) }
    var job = Compressor.Job(
      source: source, recipe: recipe, calibration: CalibrationSet(samples: samples), output: output)
    job.format = format
    return job
  }

  private static func run(_ job: Compressor.Job) throws -> Checkpoint {
    _ = try Compressor(job, backend: CPUBackend(threads: 1)).run()
    return try Checkpoint.open(job.output)
  }

  private static func tensors(_ checkpoint: Checkpoint) throws -> [String: [UInt8]] {
    var tensors: [String: [UInt8]] = [:]
    for name in checkpoint.tensorNames {
      let raw = try checkpoint.rawTensor(name)
      tensors[name] = unsafe raw.withBytes { unsafe [UInt8]($0) }
    }
    return tensors
  }

  @Test(arguments: [
    ("rtn", CheckpointFormat.gptq, Recipe.ActOrder.none), ("gptq", .gptqV2, .group), ("gptq", .gptq, .weight),
  ])
  func `a format written at once is the one converted to`(
    _ method: String, _ format: CheckpointFormat, _ order: Recipe.ActOrder
  ) throws {
    let folder = try TemporaryFolder()
    func change(_ recipe: inout Recipe) {
      recipe.options.actOrder = order
      var fine = Recipe.Override(pattern: "q_proj")
      fine.bits = 8
      recipe.overrides.insert(fine, at: 0)
    }
    let direct = try Self.run(Self.job(method, format, output: folder.path + "/direct", change: change))
    let other = try Self.run(
      Self.job(method, .compressedTensors, output: folder.path + "/other", change: change))
    try CheckpointConversion(other, to: format).write(to: folder.path + "/converted", tokenizer: other.path)
    let converted = try Checkpoint.open(folder.path + "/converted")
    #expect(try Self.tensors(direct) == Self.tensors(converted))
    let settings = try #require(direct.configuration["quantization_config"])
    #expect(settings == converted.configuration["quantization_config"])
    #expect(settings["bits"]?.int == 4 && settings["group_size"]?.int == 64)
    // Loaders skip `g_idx` where no order is announced, and look for codes in all layers but those left out by name.
    #expect(settings["desc_act"]?.bool == (order == .group))
    let dynamic = try #require(settings["dynamic"]?.object)
    #expect(dynamic["+:^model\\.layers\\.0\\.self_attn\\.q_proj$"]?["bits"]?.int == 8)
    #expect(dynamic["-:^model\\.layers\\.3\\.mlp\\.up_proj$"] != nil)
    #expect(dynamic.count == 1 + 5 * 7)
    #expect(try direct.linear("model.layers.3.mlp.up_proj") == nil)
    #expect(try direct.linear("model.layers.0.mlp.up_proj") != nil)
  }

  /// AWQ has float16 scales only; the demo's are bfloat16.
  @Test func `AWQ's own format`() throws {
    let folder = try TemporaryFolder()
    let output = try Self.run(
      Self.job("rtn", .awq, output: folder.path) { $0.scheme.convention = .asymmetric })
    let source = try Checkpoint.open(Fixtures.path("demo"))
    let settings = try #require(output.configuration["quantization_config"])
    #expect(settings["quant_method"]?.string == "awq" && settings["group_size"]?.int == 64)
    #expect(settings["modules_to_not_convert"]?.array?.contains("model.layers.3.mlp.up_proj") == true)
    #expect(output.tensors["model.layers.0.mlp.up_proj.scales"]?.dataType == .float16)
    for module in ["self_attn.k_proj", "mlp.down_proj"] {
      let name = "model.layers.0." + module
      let linear = try #require(try output.linear(name))
      let store = try output.store(of: linear)
      try store.validateValues()
      let (found, weight) = (store.dequantized(), try source.rawTensor(name + ".weight").floats())
      for start in stride(from: 0, to: weight.count, by: 64) {
        let group = weight[start..<start + 64]
        let step = (max(group.max() ?? 0, 0) - min(group.min() ?? 0, 0)) / 15
        // Half a step, and what rounding the scale to float16 moves the last of 15.
        for index in group.indices { #expect(abs(found[index] - weight[index]) <= 0.51 * step) }
      }
    }
  }

  @Test func `float32 models get scales that the format holds`() throws {
    let folder = try TemporaryFolder()
    let wide = folder.path + "/wide"
    try FileManager.default.copyItem(atPath: Fixtures.path("tiny/llama"), toPath: wide)
    let source = try Checkpoint.open(Fixtures.path("tiny/llama"))
    var writer = try SafetensorsWriter(
      path: wide + "/model.safetensors",
      tensors: source.tensorNames.map {
        .init(name: $0, dataType: .float32, shape: source.tensors[$0]?.shape ?? [])
      })
    for name in source.tensorNames { try writer.write(name, try source.rawTensor(name).floats()) }
    try writer.finish()
    var job = try Self.job("gptq", .gptq, output: folder.path + "/out")
    job.source = try Checkpoint.open(wide)
    job.recipe.scheme.groupSize = 16
    job.recipe.overrides = []
    let output = try Self.run(job)
    let module = try #require(output.linearModules.first { $0.hasSuffix("q_proj") })
    #expect(output.tensors[module + ".scales"]?.dataType == .float16)
    #expect(try output.linear(module) != nil)
  }

  @Test(arguments: [
    (#"{"method":"owq"}"#, CheckpointFormat.gptq, "stores more than codes"),
    (#"{"method":"spqr"}"#, .awq, "stores more than codes"),
    (#"{"method":"smoothquant"}"#, .gptq, "no rounding of activations"),
    (#"{"method":"rtn","rank":4}"#, .gptqV2, "no low-rank correction"),
    (#"{"method":"rtn","grid":"asymmetric"}"#, .gptq, "gptq_v2 has"),
    (#"{"method":"rtn","bits":3}"#, .awq, "codes of 4 bits, not 3"),
    (
      #"{"method":"rtn","overrides":[{"pattern":"0.mlp.up_proj","bits":8}]}"#, .awq,
      "up_proj: it has codes of 4 bits, not 8"
    ),
    (#"{"method":"gptq","act_order":"group"}"#, .awq, "no group index"),
    // 640 inputs of down_proj are no multiple of 256, which becomes 128 there.
    (#"{"method":"rtn","group_size":256}"#, .awq, "one group size"),
    (#"{"method":"rtn","budget_bytes":1000000000}"#, .awq, "codes of 4 bits, not 2"),
  ])
  func `what a format cannot hold is refused at the start`(
    _ recipe: String, _ format: CheckpointFormat, _ words: String
  ) throws {
    let folder = try TemporaryFolder()
    let output = folder.path + "/out"
    let wanted = try Recipe(JSONValue.parse(Array(recipe.utf8)))
    do {
      _ = try Self.run(Self.job(wanted.method, format, output: output) { $0 = wanted })
      Issue.record("\(recipe) was written as \(format.rawValue)")
    } catch let error as MethodError {
      #expect("\(error)".contains("--format \(format.rawValue)") && "\(error)".contains(words), "\(error)")
    }
    #expect(throws: CheckpointError.self) { try Checkpoint.open(output) }
  }
}

import CPUBackend
import Checkpoints
import Compute
import Foundation
import JSON
import Models
import TestSupport
import Testing

/// Checkpoints in the formats of other tools (Scripts/goldens/quantized.py and quantized_tools.py say who wrote each)
/// run without a flag and give the logits of their dequantised weights in transformers.
@Suite struct QuantizedModelTests {
  static let fixtures = [
    "gptq-4bit", "gptq-4bit-asym", "gptq-2bit-v2", "gptq-3bit-v2-act-order", "gptq-8bit-channel", "gptq-gpt2",
    "gptq-bloom", "awq-gemm", "awq-gemv", "bnb-int8", "bnb-nf4", "bnb-nf4-nested", "ct-w4a16",
    "ct-w4a16-asym-act-order", "ct-w8a8", "ct-w8a8-static", "ct-fp8-dynamic", "ct-fp8-static", "ct-fp8-block",
    "ct-mixed", "ct-sparse-24", "ct-sparse-bitmask", "gptqmodel-4bit", "gptqmodel-4bit-act-order",
    "gptqmodel-8bit", "autoawq-gemm",
  ]

  @Test(arguments: fixtures) func `logits are those of the dequantised weights`(_ fixture: String) throws {
    let golden = try Golden("quantized/" + fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    let prompt = try #require(golden.prompts.first)
    let runner = try ModelRunner(checkpoint, modelLength: 32)
    let deviation = Deviation(try runner.logits(prompt.tokens), prompt.logits, vocabulary: runner.vocabulary)
    #expect(deviation.relative < 1e-4)
    #expect(deviation.differingArgmax.isEmpty)
  }

  @Test(arguments: fixtures) func `a layer's dequantised weight is the writer's`(_ fixture: String) throws {
    let folder = "quantized/" + fixture
    let checkpoint = try Checkpoint.open(Fixtures.path(folder))
    let base = try SafetensorsText(folder + "/base.safetensors")
    let module = try #require(base.names.first)
    let linear = try #require(try checkpoint.linear(module))
    let store = try checkpoint.store(of: linear)
    try store.validateValues()
    let expected = try base.floats(module)
    let found = store.dequantized()
    try #require(found.count == expected.count)
    for index in found.indices {
      // bitsandbytes multiplies by the scale before it divides by 127: one rounding more.
      #expect(abs(found[index] - expected[index]) <= expected[index].magnitude * 0x1p-22)
    }
  }

  /// The store keeps what the file says: no weight became dense on the way.
  @Test(arguments: fixtures) func `every quantised tensor is used`(_ fixture: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("quantized/" + fixture))
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    let inventory = try TensorInventory(configuration, in: checkpoint)
    #expect(inventory.unused.isEmpty)
    #expect(inventory.quantised.count >= 8)
  }

  /// "Linear" of compressed-tensors names the linear layers, to which a tied table of embeddings does not belong.
  @Test func `a tied output stays the embedding`() throws {
    let files = FileManager.default
    let folder = files.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    try files.copyItem(atPath: Fixtures.path("quantized/ct-w4a16"), toPath: folder)
    defer { try? files.removeItem(atPath: folder) }
    var configuration = try #require(
      try JSONValue.parse(Fixtures.bytes("quantized/ct-w4a16/config.json")).object)
    configuration["tie_word_embeddings"] = true
    let text = JSONValue.object(configuration).serialized()
    try text.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    let runner = try ModelRunner(try Checkpoint.open(folder), modelLength: 32)
    #expect(try runner.logits([1, 2, 3]).allSatisfy(\.isFinite))
  }
}

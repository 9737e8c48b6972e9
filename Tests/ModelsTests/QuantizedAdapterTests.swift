import Checkpoints
import Compute
import KernelBackend
import Models
import Numerics
import TestSupport
import Testing

internal import Foundation

/// Adapters beside weights that stay in four bits: on emulated kernels against the CPU, whose adapters are held to peft.
@Suite("Adapters beside quantised weights")
final class QuantizedAdapterTests {
  private let folder = FileManager.default.temporaryDirectory.path + "/adapter-\(UUID().uuidString)"
  private let tests = AdapterTests()

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private static let rank = 5

  /// An adapter of every linear layer of a checkpoint, large enough to be seen.
  private func write(for checkpoint: Checkpoint) throws {
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    let sites = try TensorInventory(configuration, in: checkpoint).sites(configuration).joined()
    let shapes = sites.flatMap { site in
      [("A", [Self.rank, site.inputs]), ("B", [site.outputs, Self.rank])].map { part, shape in
        SafetensorsWriter.Declaration(
          name: "base_model.model.\(site.module).lora_\(part).weight", dataType: .float16, shape: shape)
      }
    }
    var random = SeededGenerator(seed: 16)
    var writer = try SafetensorsWriter(path: folder + "/adapter_model.safetensors", tensors: shapes)
    for tensor in shapes {
      try writer.write(
        tensor.name,
        (0..<tensor.shape[0] * tensor.shape[1]).map { _ in
          Float16(Float.random(in: -0.2...0.2, using: &random)).bitPattern
        })
    }
    try writer.finish()
    try Data(#"{"peft_type": "LORA", "r": \#(Self.rank), "lora_alpha": \#(2 * Self.rank)}"#.utf8)
      .write(to: URL(fileURLWithPath: folder + "/adapter_config.json"))
  }

  @Test(
    "are added to what the codes give, alone and among others",
    arguments: ["gptq-4bit", "ct-w4a16", "awq-gemm"])
  func fourBits(fixture: String) throws {
    let golden = try Golden("quantized/" + fixture)
    let tokens = try #require(golden.prompts.first).tokens
    try write(for: try Checkpoint.open(golden.directory))
    let cpu = try AdapterTests.graph(golden.directory)
    let backend = try KernelBackend(.emulated, activationType: .float16, workers: 2)
    let device = try AdapterTests.graph(golden.directory, backend: backend)
    let packs = try #require(backend.library.variants(of: .repack).first)
    #expect(backend.hasLaunched(packs))
    for graph in [cpu, device] { try graph.loadAdapter(path: folder, id: 3) }

    let expected = try tests.logits(cpu, [(tokens, 3)])[0]
    let plain = try tests.logits(cpu, [(tokens, 0)])[0]
    let largest = expected.map(abs).max() ?? 0
    func difference(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).map { abs($0 - $1) }.max() ?? 0 }
    #expect(difference(expected, plain) > 0.1 * largest)
    let found = try tests.logits(device, [(tokens, 3)])[0]
    // As without adapters (EmulatedModelTests).
    #expect(difference(found, expected) < 0.0075 * largest, "\(difference(found, expected) / largest)")

    let mixed = try tests.logits(device, [(Array(tokens.prefix(3)), 0), (tokens, 3), (tokens, 0)])
    #expect(mixed[1] == found)
    #expect(difference(mixed[2], plain) < 0.0075 * largest)
  }
}

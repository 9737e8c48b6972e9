import Checkpoints
import Compute
import KernelBackend
import Numerics
import TestSupport
import Testing

@testable import Models

internal import Foundation

/// Adapters through the grouped kernels under their emulation, against peft and against merged weights.
@Suite("Adapters on emulated kernels")
struct EmulatedAdapterTests {
  private let tests = AdapterTests()

  private func graph(_ path: String, maxRank: Int = 64) throws -> ModelGraph {
    try AdapterTests.graph(
      path, maxRank: maxRank, backend: KernelBackend(.emulated, activationType: .float16, workers: 2))
  }

  @Test(
    "Logits are those of peft, and those of the merged weights, but for rounding",
    arguments: AdapterTests.cases)
  func logits(name: String, base: String) throws {
    let (tokens, expected) = try tests.golden(name)
    let beside = try graph(Fixtures.path("tiny/" + base))
    try beside.loadAdapter(path: Fixtures.path("lora/" + name), id: 1)
    let found = try tests.logits(beside, [(tokens, 1)])[0]
    // As without adapters (EmulatedModelTests), where float16 is off by 0.0047 at most.
    #expect(try tests.errorAgainstPeft(found, name) < 0.0075)

    let folder = FileManager.default.temporaryDirectory.path + "/merged-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = try Checkpoint.open(Fixtures.path("tiny/" + base))
    _ = try AdapterMerge(source, adapter: Fixtures.path("lora/" + name)).write(to: folder)
    let merged = try tests.logits(try graph(folder, maxRank: 0), [(tokens, 0)])[0]
    let largest = expected.map(abs).max() ?? 0
    let difference = zip(found, merged).map { abs($0 - $1) }.max() ?? .infinity
    #expect(difference < 2 * 0.0075 * largest, "\(difference) of \(largest)")
  }

  @Test("Several adapters and none in one step give the bits that each gives alone")
  func together() throws {
    let graph = try graph(Fixtures.path("tiny/llama"))
    try graph.loadAdapter(path: Fixtures.path("lora/llama-all"), id: 1)
    try graph.loadAdapter(path: Fixtures.path("lora/llama-rs"), id: 7)
    let tokens = try tests.golden("llama-all").tokens
    let prompts: [([Int32], Int32)] = [
      (Array(tokens[..<5]), 0), (Array(tokens[..<17]), 1), (Array(tokens[5..<12]), 7),
      (Array(tokens[..<9]), 1), (Array(tokens[..<9]), 0), ([9], 7),
    ]
    let alone = try prompts.map { try tests.logits(graph, [$0])[0] }
    #expect(try tests.logits(graph, prompts) == alone)
    #expect(alone[3] != alone[4])
  }
}

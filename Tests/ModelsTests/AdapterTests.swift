import CPUBackend
import Checkpoints
import Compute
import JSON
import Models
import Scheduling
import TestSupport
import Testing

internal import Foundation

/// LoRA adapters against the logits that `peft` gives (Scripts/goldens/lora.py).
@Suite("Adapters")
struct AdapterTests {
  static let cases = [("llama-all", "llama"), ("llama-rs", "llama"), ("gpt2", "gpt2"), ("bloom", "bloom")]

  private func graph(_ fixture: String, maxRank: Int = 64) throws -> ModelGraph {
    try Self.graph(Fixtures.path("tiny/" + fixture), maxRank: maxRank)
  }

  static func graph(
    _ path: String, maxRank: Int = 64, backend: any Backend = CPUBackend(threads: 1)
  ) throws -> ModelGraph {
    var limits = ModelLimits(maxBatchTokens: 256, maxSequences: 8, maxModelLength: 256, maxLogitRows: 256)
    limits.maxAdapterRank = maxRank
    return try ModelGraph(
      checkpoint: try Checkpoint.open(path), backend: backend, limits: limits)
  }

  /// The logits of every token of some prompts, computed in one step; a prompt's blocks are its own.
  func logits(_ graph: ModelGraph, _ prompts: [(tokens: [Int32], adapter: Int32)]) throws -> [[Float]] {
    let cache = try graph.makeKVCache(blockCount: 64)
    var plan = StepPlan()
    plan.queryStarts = [0]
    plan.blockTableStride = 8
    for (index, prompt) in prompts.enumerated() {
      let start = plan.tokens.count
      for (position, token) in prompt.tokens.enumerated() {
        plan.logitRows.append(Int32(plan.tokens.count))
        plan.tokens.append(token)
        plan.positions.append(Int32(position))
        plan.slots.append(Int32(index * 128 + position))
      }
      plan.queryStarts.append(Int32(plan.tokens.count))
      plan.contextLengths.append(Int32(prompt.tokens.count))
      plan.blockTables += (0..<8).map { Int32(index * 8 + $0) }
      if prompt.adapter != 0 {
        plan.adapterRuns.append(AdapterRun(adapter: prompt.adapter, rows: start..<plan.tokens.count))
      }
    }
    let view = try graph.forward(plan, cache: cache)
    var values = [Float](repeating: 0, count: view.rows * view.columns)
    try unsafe values.withUnsafeMutableBytes { try unsafe graph.backend.download(view, to: $0) }
    var start = 0
    return prompts.map { prompt in
      defer { start += prompt.tokens.count * view.columns }
      return Array(values[start..<start + prompt.tokens.count * view.columns])
    }
  }

  func golden(_ name: String) throws -> (tokens: [Int32], logits: [Float]) {
    let file = try SafetensorsText("lora/\(name)/expected.safetensors")
    return (try file.integers("input_ids"), try file.floats("logits"))
  }

  @Test("Logits are those of peft", arguments: cases)
  func logitsOfPeft(name: String, base: String) throws {
    let graph = try graph(base)
    try graph.loadAdapter(path: Fixtures.path("lora/" + name), id: 1)
    let found = try logits(graph, [(try golden(name).tokens, 1)])[0]
    // GPT-2 and BLOOM: transformers' own merged weights are as far off.
    let error = try errorAgainstPeft(found, name)
    #expect(error <= 1e-5, "\(error)")
  }

  /// The largest difference from peft's logits, over their largest magnitude.
  func errorAgainstPeft(_ found: [Float], _ name: String) throws -> Float {
    let (tokens, expected) = try golden(name)
    var error: Float = 0
    for (row, position) in stride(from: 0, to: tokens.count, by: 8).enumerated() {
      for token in 0..<512 {
        error = max(error, abs(found[position * 512 + token] - expected[row * 512 + token]))
      }
    }
    return error / (expected.map(abs).max() ?? 0)
  }

  @Test("Several adapters and none in one step give the bits that each gives alone")
  func together() throws {
    let graph = try graph("llama")
    try graph.loadAdapter(path: Fixtures.path("lora/llama-all"), id: 1)
    try graph.loadAdapter(path: Fixtures.path("lora/llama-rs"), id: 7)
    let tokens = try golden("llama-all").tokens
    let prompts: [([Int32], Int32)] = [
      (Array(tokens[..<9]), 0), (Array(tokens[..<17]), 1), (Array(tokens[5...]), 7), (tokens, 1), (tokens, 0),
      ([9], 7),
    ]
    let alone = try prompts.map { try logits(graph, [$0])[0] }
    #expect(try logits(graph, prompts) == alone)
    #expect(alone[3] != alone[4])
    graph.unloadAdapter(7)
    #expect(throws: (any Error).self) { try logits(graph, [(tokens, 7)]) }
    // Without an adapter it is the model as if there were none.
    let plain = try self.graph("llama", maxRank: 0)
    #expect(try logits(plain, [(tokens, 0)])[0] == alone[4])
  }

  /// A copy of an adapter with its configuration changed.
  private func edited(_ edits: [String: JSONValue?]) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("adapter-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let source = Fixtures.path("lora/llama-rs")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/adapter_model.safetensors",
      withDestinationPath: source + "/adapter_model.safetensors")
    var json = try JSONValue.parse(Fixtures.bytes("lora/llama-rs/adapter_config.json")).object ?? [:]
    for (key, value) in edits { json[key] = value }
    try Data(JSONValue.object(json).serialized().utf8).write(
      to: folder.appendingPathComponent("adapter_config.json"))
    return folder.path
  }

  @Test(
    "What is not implemented, or does not fit, is refused by name",
    arguments: [
      (["peft_type": "IA3"], "only LORA"), (["use_dora": true], "DoRA"), (["bias": "all"], "biases"),
      (["modules_to_save": ["lm_head"]], "modules_to_save"), (["r": 16], "rank 24"),
      (["rank_pattern": ["v_proj": 8]], "rank 40"), (["rank_pattern": [".*v_proj": 40]], "rank_pattern"),
      (["alpha_pattern": ["q_proj": "x"]], "alpha_pattern"), (["lora_alpha": "x"], "lora_alpha"),
    ] as [([String: JSONValue?], String)])
  func refused(edits: [String: JSONValue?], part: String) throws {
    let path = try edited(edits)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let graph = try graph("llama")
    do {
      try graph.loadAdapter(path: path, id: 1)
      Issue.record("it was taken")
    } catch {
      #expect("\(error)".contains(part), "\(error)")
    }
    #expect(!graph.hasAdapter(1))
  }

  @Test("Adapters of other models, of too large a rank, and absent ones are refused")
  func misfits() throws {
    let graph = try graph("llama", maxRank: 39)
    #expect(throws: ModelError.self) { try graph.loadAdapter(path: Fixtures.path("lora/llama-rs"), id: 1) }
    #expect(throws: ModelError.self) { try graph.loadAdapter(path: Fixtures.path("lora/bloom"), id: 1) }
    #expect(throws: ModelError.self) { try graph.loadAdapter(path: Fixtures.path("lora/nothing"), id: 1) }
    try graph.loadAdapter(path: Fixtures.path("lora/llama-all"), id: 1)
    let qwen = try self.graph("qwen2")
    #expect(throws: ModelError.self) { try qwen.loadAdapter(path: Fixtures.path("lora/bloom"), id: 1) }
  }
}

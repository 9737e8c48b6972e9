import Checkpoints
import JSON
import Models
import Numerics
import TestSupport
import Testing

/// Configurations nobody would write: any field replaced by anything gives a model or an error, never a trap.
@Suite struct HostileConfigurationTests {
  private static let values: [JSONValue] = [
    .null, true, false, 0, 1, -1, 2, 3, 7, 64, 65_535, 16_777_216, 16_777_217, 268_435_456,
    9_223_372_036_854_775_807, -9_223_372_036_854_775_808, 0.0, -0.0, 0.5, 1.000_001, 1e15, 1e300,
    -1e300,
    "", "silu", "yarn", "linear", "dynamic", "llama3", "longrope", "full_attention", [], [1, 2],
    ["sliding_attention"],
    [[[]]], [:], ["factor": 2], ["rope_type": "yarn", "factor": 1e6],
    ["type": "dynamic", "factor": 1_000_000],
    ["rope_type": "yarn", "original_max_position_embeddings": 1, "beta_slow": 1e6, "beta_fast": 1e6],
    [
      "rope_type": "llama3", "factor": 1, "low_freq_factor": 1e-6, "high_freq_factor": 1e6,
      "original_max_position_embeddings": 1,
    ],
  ]

  /// Fields that the families read but these fixtures do not have.
  private static let further = [
    "rope_parameters", "partial_rotary_factor", "layer_types", "use_sliding_window", "max_window_layers",
    "quantization_config", "n_inner", "seq_length", "scale_attn_by_inverse_layer_idx", "rotary_pct",
    "mlp_bias",
    "original_max_position_embeddings", "head_dim", "n_embed",
  ]

  @Test(arguments: [
    "tiny/llama", "tiny/mistral", "tiny/qwen2", "tiny/gpt2", "tiny/bloom", "families/gpt-neox-parallel",
  ])
  func `any value in any field is read or refused`(_ fixture: String) throws {
    let original = try #require(try JSONValue.parse(Fixtures.bytes(fixture + "/config.json")).object)
    let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
    let fields = original.keys + Self.further
    var generator = SeededGenerator(seed: UInt64(fields.count))
    var read = 0
    var refused = 0
    for _ in 0..<1500 {
      var json = original
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let field = fields.randomElement(using: &generator) ?? "vocab_size"
        json[field] = Self.values.randomElement(using: &generator)
      }
      do {
        let configuration = try ModelRegistry.configuration(from: .object(json))
        check(configuration)
        // Every shape is compared with the checkpoint before memory is planned.
        _ = try TensorInventory(configuration, in: checkpoint)
        read += 1
      } catch {
        #expect(!"\(error)".isEmpty)
        refused += 1
      }
    }
    #expect(read > 100 && refused > 100, "\(read) read, \(refused) refused")
  }

  /// What a configuration that was read must hold.
  private func check(_ configuration: ModelConfiguration) {
    #expect(configuration.queryHeads % configuration.keyValueHeads == 0)
    #expect((1...1024).contains(configuration.headDimension))
    #expect((1...(1 << 28)).contains(configuration.defaultModelLength))
    #expect(configuration.layers.allSatisfy { $0.attentionScale.isFinite && ($0.window ?? 1) > 0 })
    guard case .rope(let rope) = configuration.decoder.positions else { return }
    for length in [1, 1000, 1 << 28] {
      let frequencies = rope.inverseFrequencies(modelLength: length)
      #expect(frequencies.count == rope.rotaryDimension / 2)
      #expect(frequencies.allSatisfy { $0.isFinite && $0 >= 0 }, "\(rope)")
    }
    #expect(rope.attentionFactor.isFinite)
  }

  @Test(arguments: [16, 1 << 10, 1 << 20, 1 << 28], [1, 1 << 12, 1 << 24])
  func `any limits give a plan or an error`(_ length: Int, _ tokens: Int) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("demo"))
    for sequences in [1, 1 << 10, 1 << 20] {
      let limits = ModelLimits(
        maxBatchTokens: tokens, maxSequences: sequences, maxModelLength: length, maxLogitRows: tokens)
      do {
        let plan = try ModelGraph.memoryPlan(checkpoint: checkpoint, limits: limits, activationType: .float32)
        #expect(plan.workspaceBytes > 4 * tokens * 4096)
      } catch { #expect("\(error)".contains(" is ")) }
    }
  }
}

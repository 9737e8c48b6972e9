import JSON
import Scheduling
import Testing

@testable import Models

/// How layers are dealt to groups.
@Suite struct CacheGroupsTests {
  /// - Parameter windows: by layer; nil for all keys.
  private func groups(_ windows: [Int?], _ change: (inout ModelLimits) -> Void = { _ in }) throws
    -> CacheGroups
  {
    var configuration = try ModelRegistry.configuration(
      from: [
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 32,
        "intermediate_size": 64, "max_position_embeddings": 512, "num_attention_heads": 2,
        "num_hidden_layers": .integer(Int64(windows.count)), "num_key_value_heads": 1, "rms_norm_eps": 1e-6,
        "rope_theta": 1e4, "tie_word_embeddings": true, "vocab_size": 100,
      ])
    for (layer, window) in windows.enumerated() { configuration.layers[layer].window = window }
    var limits = ModelLimits(maxBatchTokens: 16, maxSequences: 1, maxModelLength: 64, maxLogitRows: 1)
    change(&limits)
    return CacheGroups(configuration, limits)
  }

  @Test("Layers of one kind are one group")
  func one() throws {
    let full = try groups([nil, nil, nil])
    #expect(full.groups == .whole && full.layers == 3 && full.places.map(\.layer) == [0, 1, 2])
    #expect(try groups([8, 8]).groups == KVGroups([KVRetention(window: 8)]))
  }

  @Test("Full layers come first; groups are as large as they can be without losing more than an eighth")
  func sizes() throws {
    let halves = try groups([8, nil, 8, nil])
    #expect(halves.layers == 2 && halves.groups == KVGroups([nil, KVRetention(window: 8)]))
    #expect(halves.places.map(\.group) == [1, 0, 1, 0] && halves.places.map(\.layer) == [0, 0, 1, 1])
    // 26 layers, every sixth one full, as Gemma 3 has: 4 full and 22 windowed in groups of 4, two places lost.
    let sixths = try groups((0..<26).map { $0 % 6 == 5 ? nil : 512 })
    #expect(sixths.layers == 4 && sixths.groups.count == 7)
    #expect(sixths.groups.retentions.count { $0 == nil } == 1)
    let three = try groups([nil, nil, 6])
    #expect(three.layers == 1 && three.groups == KVGroups([nil, nil, KVRetention(window: 6)]))
    let widths = try groups([16, 8, 16, 8])
    #expect(widths.groups == KVGroups([KVRetention(window: 8), KVRetention(window: 16)]))
  }

  @Test("Every layer has a place of its own", arguments: 1...40)
  func places(layers: Int) throws {
    for period in 1...7 {
      let found = try groups((0..<layers).map { $0 % period == 0 ? nil : 8 + $0 % 2 })
      let used = Set(found.places.map { $0.group * found.layers + $0.layer })
      #expect(used.count == layers && used.allSatisfy { $0 < found.groups.count * found.layers })
      #expect((found.groups.count * found.layers - layers) * 8 <= layers)
    }
  }

  @Test("A policy is for all layers, and one table keeps everything")
  func exceptions() throws {
    let policy = KVRetention(sinks: 4, window: 16)
    #expect(try groups([nil, nil]) { $0.policy = policy }.groups == KVGroups([policy]))
    let single = try groups([nil, 8, nil]) { $0.groupsLayers = false }
    #expect(single.groups == .whole && single.layers == 3)
  }
}

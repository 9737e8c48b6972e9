import JSON
import Models
import TestSupport
import Testing

internal import Foundation

/// Rope frequencies and ALiBi slopes against published numbers.
@Suite struct PositionTests {
  @Test func `frequencies are those of transformers for published configurations`() throws {
    let cases = try #require(try JSONValue.parse(Fixtures.bytes("families/rope.json")).object)
    #expect(cases.count >= 10)
    for (name, expected) in cases {
      var json = try #require(expected["config"]?.object)
      for (key, value) in Self.rest where json[key] == nil { json[key] = value }
      let configuration = try ModelRegistry.configuration(from: .object(json))
      guard case .rope(let rope) = configuration.decoder.positions else {
        Issue.record("\(name) has no rope")
        continue
      }
      let found = rope.inverseFrequencies(
        modelLength: expected["length"]?.int ?? configuration.maxPositions)
      let reference = try #require(expected["frequencies"]?.array).compactMap(\.double)
      #expect(found.count == reference.count, "\(name)")
      for (pair, (found, reference)) in zip(found, reference).enumerated() {
        #expect(abs(Double(found) - reference) <= 4e-7 * reference, "\(name), pair \(pair)")
      }
      let factor = try #require(expected["attention_factor"]?.double)
      #expect(abs(Double(rope.attentionFactor) - factor) < 1e-6, "\(name)")
    }
  }

  /// What a configuration needs besides its rope.
  private static let rest: JSONObject = [
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 1, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": 64,
  ]

  @Test func `both spellings of rope parameters mean the same`() throws {
    func rope(_ fields: JSONObject) throws -> DecoderDescription.Positions {
      var json = Self.rest
      for (key, value) in fields { json[key] = value }
      return try ModelRegistry.configuration(from: .object(json)).decoder.positions
    }
    let older = try rope(["rope_theta": 5e5, "rope_scaling": ["type": "linear", "factor": 2]])
    #expect(try rope(["rope_theta": 5e5, "rope_scaling": ["rope_type": "linear", "factor": 2.0]]) == older)
    #expect(
      try rope(["rope_parameters": ["rope_theta": 500_000, "rope_type": "linear", "factor": 2]]) == older)
    #expect(try rope(["rope_theta": 5e5, "rope_scaling": .null]) == rope(["rope_theta": 5e5]))
    #expect(try rope(["rope_theta": 5e5]) != older)
  }

  @Test func `the length to serve by default follows the scaling`() throws {
    func length(_ positions: Int, _ scaling: JSONValue) throws -> Int {
      var json = Self.rest
      json["max_position_embeddings"] = .integer(Int64(positions))
      json["rope_scaling"] = scaling
      return try ModelRegistry.configuration(from: .object(json)).defaultModelLength
    }
    #expect(try length(2048, .null) == 2048)
    #expect(try length(2048, ["type": "linear", "factor": 2.5]) == 5120)
    #expect(try length(2048, ["type": "dynamic", "factor": 2]) == 4096)
    let yarn: JSONObject = ["type": "yarn", "factor": 4, "original_max_position_embeddings": 2048]
    #expect(try length(2048, .object(yarn)) == 8192)
    #expect(try length(8192, .object(yarn)) == 8192)
    let llama3: JSONObject = [
      "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
      "original_max_position_embeddings": 8192,
    ]
    #expect(try length(131072, .object(llama3)) == 131072)
  }

  @Test func `factors of a GGUF file divide the frequencies`() throws {
    var json = Self.rest
    json["head_dim"] = 8
    json["rope_scaling"] = ["rope_type": "frequency_factors", "frequency_factors": [1, 2, 4, 8]]
    guard case .rope(let rope) = try ModelRegistry.configuration(from: .object(json)).decoder.positions else {
      Issue.record("no rope")
      return
    }
    let expected: [Float] = [1, 0.1 / 2, 0.01 / 4, 0.001 / 8]
    #expect(rope.inverseFrequencies(modelLength: 16) == expected)
  }

  @Test func `the table holds cosines and sines of position times frequency`() {
    let frequencies: [Float] = [1, 0.5, 0.001]
    var table = [Float](repeating: 0, count: 6 * 100)
    unsafe table.withUnsafeMutableBufferPointer { table in
      unsafe RopeTable.fill(table, positions: 50..<150, frequencies: frequencies, attentionFactor: 2)
    }
    for row in 0..<100 {
      for (pair, frequency) in frequencies.enumerated() {
        let angle = Double(Float(50 + row) * frequency)
        #expect(abs(Double(table[row * 6 + pair]) - 2 * Foundation.cos(angle)) < 2e-7)
        #expect(abs(Double(table[row * 6 + 3 + pair]) - 2 * Foundation.sin(angle)) < 2e-7)
      }
    }
  }

  @Test func `slopes are those of the ALiBi paper`() {
    #expect(AlibiSlopes.slopes(heads: 1) == [0.003_906_25])
    let eight = AlibiSlopes.slopes(heads: 8)
    #expect(eight == [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625, 0.007_812_5, 0.003_906_25])
    // Twelve heads: the eight, then every second of the sixteen.
    let sixteen = AlibiSlopes.slopes(heads: 16)
    #expect(AlibiSlopes.slopes(heads: 12) == eight + [sixteen[0], sixteen[2], sixteen[4], sixteen[6]])
    #expect(AlibiSlopes.slopes(heads: 3) == [0.0625, 0.003_906_25, 0.25])
    for heads in 1...130 {
      let slopes = AlibiSlopes.slopes(heads: heads)
      #expect(slopes.count == heads && Set(slopes).count == heads && slopes.allSatisfy { $0 > 0 && $0 < 1 })
    }
  }
}

import Foundation
import Testing

@testable import Generation

/// Draws at many positions against exact probabilities in double precision (not through `PortableMath`).
@Suite struct SamplerDistributionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var parameters: SamplingParameters

    init(_ name: String, _ change: (inout SamplingParameters) -> Void) {
      testDescription = name
      parameters = SamplingParameters()
      change(&parameters)
    }
  }

  static let cases = [
    Case("temperature 1") { _ in },
    Case("temperature 0.5") { $0.temperature = 0.5 },
    Case("temperature 2") { $0.temperature = 2 },
    Case("top_k 4") { $0.topK = 4 },
    Case("top_k 1") { $0.topK = 1 },
    Case("top_p 0.8") { $0.topP = 0.8 },
    Case("top_p 0.05") { $0.topP = 0.05 },
    Case("min_p 0.2") { $0.minP = 0.2 },
    Case("all together") {
      $0.temperature = 1.3
      $0.topK = 9
      $0.topP = 0.9
      $0.minP = 0.05
    },
  ]

  static let logits: [Float] = [
    0.3, 2.1, -1.5, 2.1, 0.9, -0.2, 1.4, 3.0, -4.0, 0.0, 1.1, -0.7, 2.6, 0.5, -2.2, 1.7, 0.05,
  ]

  /// Softmax of what the settings keep, by definition.
  static func exact(_ parameters: SamplingParameters) -> [Double] {
    let scaled = logits.map { Double($0) / Double(parameters.temperature) }
    func normalised(_ weights: [Double]) -> [Double] {
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    }
    var p = normalised(scaled.map { Foundation.exp($0) })
    let peak = p.max() ?? 1
    p = normalised(p.map { $0 >= Double(parameters.minP) * peak ? $0 : 0 })
    let order = p.indices.sorted { p[$0] != p[$1] ? p[$0] > p[$1] : $0 < $1 }
    if parameters.topK > 0 {
      for token in order.dropFirst(parameters.topK) { p[token] = 0 }
      p = normalised(p)
    }
    var before = 0.0
    var kept = p
    for token in order {
      if before >= Double(parameters.topP) { kept[token] = 0 }
      before += p[token]
    }
    return normalised(kept)
  }

  @Test("Draws follow the exact distribution", arguments: cases)
  func chiSquare(_ item: Case) throws {
    let expected = Self.exact(item.parameters)
    let draws = 20_000
    var counts = [Int](repeating: 0, count: expected.count)
    var sampler = Sampler(vocabularySize: expected.count)
    let state = SamplingState(
      parameters: item.parameters, seed: 20_240_803, choice: 0, prompt: [], vocabularySize: expected.count)
    for position in 0..<draws {
      counts[Int(try sampler.sample(Self.logits, state, position: position))] += 1
    }
    #expect(chiSquareDeviation(counts, expected, draws) < 4.5, "\(counts)")
    for (count, p) in zip(counts, expected) where p == 0 { #expect(count == 0) }
  }

  @Test("Seeds and choices are as independent as positions")
  func acrossKeys() throws {
    let expected = Self.exact(SamplingParameters())
    var sampler = Sampler(vocabularySize: expected.count)
    for byChoice in [false, true] {
      var counts = [Int](repeating: 0, count: expected.count)
      for index in 0..<20_000 {
        let state = SamplingState(
          parameters: SamplingParameters(), seed: byChoice ? 5 : UInt64(index), choice: byChoice ? index : 0,
          prompt: [], vocabularySize: expected.count)
        counts[Int(try sampler.sample(Self.logits, state, position: 12))] += 1
      }
      #expect(chiSquareDeviation(counts, expected, 20_000) < 4.5, "\(counts)")
    }
  }

  /// Standard deviations above the mean (Wilson and Hilferty's cube-root approximation of the distribution).
  private func chiSquareDeviation(_ counts: [Int], _ expected: [Double], _ draws: Int) -> Double {
    var statistic = 0.0
    var categories = 0.0
    for (count, p) in zip(counts, expected) where p > 0 {
      let mean = p * Double(draws)
      statistic += (Double(count) - mean) * (Double(count) - mean) / mean
      categories += 1
    }
    let freedom = categories - 1
    if freedom < 1 { return 0 }
    let spread = 2 / (9 * freedom)
    return (Foundation.cbrt(statistic / freedom) - (1 - spread)) / spread.squareRoot()
  }
}

import Foundation
import TestSupport
import Testing

@testable import Generation

@Suite struct LogprobTests {
  @Test("Log-probabilities are those of a softmax in double precision", arguments: [1, 7, 300, 1000])
  func values(vocabulary: Int) throws {
    var random = SeededGenerator(seed: 5)
    var sampler = Sampler(vocabularySize: vocabulary)
    for top in [0, 1, 5, 299, vocabulary, vocabulary + 10] {
      let logits = (0..<vocabulary).map { _ in
        (Float.random(in: -9...9, using: &random) * 4).rounded() / 4
      }
      let total = logits.reduce(0.0) { $0 + Foundation.exp(Double($1)) }
      let exact = logits.map { Double($0) - Foundation.log(total) }
      let order = logits.indices.sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
      let token = Int.random(in: 0..<vocabulary, using: &random)
      let result = try sampler.logprobs(logits, token: Int32(token), top: top)
      #expect(result.top.map { Int($0.token) } == Array(order.prefix(top)))
      #expect(result.top.map(\.rank) == (0..<min(top, vocabulary)).map { $0 + 1 })
      #expect(order[result.chosen.rank - 1] == token)
      for entry in result.top + [result.chosen] {
        #expect(abs(Double(entry.logprob) - exact[Int(entry.token)]) < 2e-6)
      }
      for entry in result.top where entry.token == result.chosen.token { #expect(entry == result.chosen) }
    }
  }

  @Test("A masked token has probability zero and the last ranks")
  func impossible() throws {
    var sampler = Sampler(vocabularySize: 3)
    let result = try sampler.logprobs([-.infinity, 0, 0], token: 0, top: 3)
    #expect(result.chosen.logprob == -.infinity)
    #expect(result.chosen.rank == 3)
    #expect(result.top.map(\.token) == [1, 2, 0])
  }
}

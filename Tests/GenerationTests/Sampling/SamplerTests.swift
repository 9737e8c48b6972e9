import TestSupport
import Testing

@testable import Generation

@Suite struct SamplerTests {
  private static func row(_ count: Int, spread: Float, _ random: inout SeededGenerator) -> [Float] {
    // Steps of 1/8 as coarse logits have: ties are common.
    (0..<count).map { _ in (Float.random(in: -spread...spread, using: &random) * 8).rounded() / 8 }
  }

  @Test("Random settings give the token of the plain definition", arguments: [1, 2, 3, 5, 64, 300, 1031])
  func matchesDefinition(vocabulary: Int) throws {
    var random = SeededGenerator(seed: UInt64(vocabulary))
    var sampler = Sampler(vocabularySize: vocabulary)
    for round in 0..<(vocabulary > 500 ? 40 : 150) {
      let logits = Self.row(vocabulary, spread: [0.5, 4, 30][round % 3], &random)
      var parameters = SamplingParameters()
      var history = ReferenceSampler.History()
      parameters.temperature = [0, 0.3, 1, 1, 1.7].randomElement(using: &random) ?? 1
      if Bool.random(using: &random) { parameters.topK = Int.random(in: 1...vocabulary + 2, using: &random) }
      if round % 7 == 0 { parameters.topK = 280 }
      if Bool.random(using: &random) { parameters.topP = Float.random(in: 0.001..<1, using: &random) }
      if Bool.random(using: &random) { parameters.minP = Float.random(in: 0.001...1, using: &random) }
      let token = { (random: inout SeededGenerator) in
        Int32.random(in: 0..<Int32(vocabulary), using: &random)
      }
      history.prompt = (0..<5).map { _ in token(&random) }
      history.output = (0..<Int.random(in: 0...6, using: &random)).map { _ in token(&random) }
      if round % 2 == 0 {
        parameters.repetitionPenalty = Float.random(in: 0.5...2, using: &random)
        parameters.presencePenalty = Float.random(in: -2...2, using: &random)
        parameters.frequencyPenalty = Float.random(in: -2...2, using: &random)
      }
      if round % 3 == 0 {
        parameters.logitBias[token(&random)] = 3
        parameters.logitBias[token(&random)] = -100
      }
      if round % 5 == 0 { parameters.allowedTokens = [token(&random), token(&random), token(&random)] }
      if round % 4 == 1 {
        parameters.badWords = [[token(&random)], Array(history.output.suffix(2)) + [token(&random)]]
        history.endTokens = [token(&random)]
        history.minTokens = Int.random(in: 0...6, using: &random)
      }
      let seed = random.next()
      let choice = UInt32(round % 3)
      let state = SamplingState(
        parameters: parameters, seed: seed, choice: Int(choice), prompt: history.prompt,
        endTokens: history.endTokens, minTokens: history.minTokens, vocabularySize: vocabulary)
      for token in history.output { state.append(token) }
      let expected = ReferenceSampler.token(
        logits, parameters, history, seed: seed, choice: choice, position: 100 + round)
      if let expected {
        #expect(
          try sampler.sample(logits, state, position: 100 + round) == expected,
          "round \(round), \(parameters)")
      } else {
        #expect(throws: SamplingFailure.nothingAllowed) {
          try sampler.sample(logits, state, position: 100 + round)
        }
      }
    }
  }

  @Test("Penalties, masks and biases change the row as double loops do")
  func constraints() throws {
    var random = SeededGenerator(seed: 9)
    let vocabulary = 40
    var sampler = Sampler(vocabularySize: vocabulary)
    for _ in 0..<50 {
      let logits = Self.row(vocabulary, spread: 10, &random)
      var parameters = SamplingParameters()
      parameters.repetitionPenalty = 1.3
      parameters.presencePenalty = 0.7
      parameters.frequencyPenalty = -0.4
      parameters.logitBias = [3: 5, 7: -2, 39: 100]
      parameters.badWords = [[5], [1, 2], [2, 2, 2]]
      let history = ReferenceSampler.History(
        prompt: (0..<30).map { _ in Int32.random(in: 0..<10, using: &random) },
        output: (0..<20).map { _ in Int32.random(in: 0..<4, using: &random) }, endTokens: [0, 11],
        minTokens: 21)
      let state = SamplingState(
        parameters: parameters, seed: 0, choice: 0, prompt: history.prompt, endTokens: [0, 11], minTokens: 21,
        vocabularySize: vocabulary)
      for token in history.output { state.append(token) }
      _ = try sampler.sample(logits, state, position: 50)
      let row = unsafe Array(sampler.scratch)
      #expect(row == ReferenceSampler.constrained(logits, parameters, history))
    }
  }

  @Test("Greedy takes the lowest id of equal logits")
  func greedyTies() throws {
    var sampler = Sampler(vocabularySize: 21)
    var parameters = SamplingParameters()
    parameters.temperature = 0
    let state = SamplingState(
      parameters: parameters, seed: 1, choice: 0, prompt: [], vocabularySize: 21)
    var logits = [Float](repeating: -4, count: 21)
    #expect(try sampler.sample(logits, state, position: 3) == 0)
    logits[18] = -1
    logits[9] = -1
    #expect(try sampler.sample(logits, state, position: 3) == 9)
  }

  @Test("A token depends on seed, choice and position, and on nothing else")
  func keys() throws {
    let vocabulary = 50
    var random = SeededGenerator(seed: 4)
    let logits = Self.row(vocabulary, spread: 1, &random)
    func draws(seed: UInt64, choice: Int, from: Int, backwards: Bool = false) throws -> [Int32] {
      var sampler = Sampler(vocabularySize: vocabulary)
      let state = SamplingState(
        parameters: SamplingParameters(), seed: seed, choice: choice, prompt: [], vocabularySize: vocabulary)
      let positions = Array(from..<from + 40)
      let tokens = try (backwards ? positions.reversed() : positions).map {
        try sampler.sample(logits, state, position: $0)
      }
      return backwards ? tokens.reversed() : tokens
    }
    let tokens = try draws(seed: 7, choice: 0, from: 0)
    #expect(try draws(seed: 7, choice: 0, from: 0, backwards: true) == tokens)
    #expect(try draws(seed: 8, choice: 0, from: 0) != tokens)
    #expect(try draws(seed: 7 + 1 << 32, choice: 0, from: 0) != tokens)
    #expect(try draws(seed: 7, choice: 1, from: 0) != tokens)
    #expect(try draws(seed: 7, choice: 0, from: 10).prefix(30) == tokens.dropFirst(10))
  }

  @Test("Broken logits and empty choices are refused, whatever the settings", arguments: [Float(0), 1])
  func failures(temperature: Float) throws {
    let vocabulary = 37
    var sampler = Sampler(vocabularySize: vocabulary)
    var parameters = SamplingParameters()
    parameters.temperature = temperature
    for token in [0, 7, 8, 31, 32, 36] {
      for value in [Float.nan, .infinity] {
        var logits = [Float](repeating: 1, count: vocabulary)
        logits[token] = value
        let state = SamplingState(
          parameters: parameters, seed: 1, choice: 0, prompt: [], vocabularySize: vocabulary)
        #expect(throws: SamplingFailure.notFinite(token: Int32(token))) {
          try sampler.sample(logits, state, position: 1)
        }
        #expect(throws: SamplingFailure.notFinite(token: Int32(token))) {
          try sampler.logprobs(logits, token: 0, top: 1)
        }
      }
    }
    parameters.allowedTokens = [5]
    parameters.badWords = [[5]]
    let state = SamplingState(
      parameters: parameters, seed: 1, choice: 0, prompt: [], vocabularySize: vocabulary)
    #expect(throws: SamplingFailure.nothingAllowed) {
      try sampler.sample([Float](repeating: 0, count: vocabulary), state, position: 1)
    }
  }

  @Test("Ids outside the vocabulary in masks and biases have no effect")
  func foreignIds() throws {
    var parameters = SamplingParameters()
    parameters.temperature = 0
    parameters.logitBias = [-1: 100, 4: 100, 2: 1]
    parameters.badWords = [[9], [-3], []]
    parameters.repetitionPenalty = 2
    var sampler = Sampler(vocabularySize: 4)
    let state = SamplingState(
      parameters: parameters, seed: 0, choice: 0, prompt: [7, -9, 3], endTokens: [99], minTokens: 4,
      vocabularySize: 4)
    #expect(try sampler.sample([0, 0, 0, 0.5], state, position: 3) == 2)
  }
}

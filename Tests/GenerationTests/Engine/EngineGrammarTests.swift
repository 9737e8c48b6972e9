import Grammars
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// Sequences with a grammar: their tokens are what a plain loop over model, mask and sampler gives.
@Suite struct EngineGrammarTests {
  /// 61 tokens: letters, digits, brackets and some longer ones; the last two have no text and end sequences.
  private static let texts: [String] =
    "abcdefghijklmnopqrstuvwxyz0123456789()[]{},:\" -".map { String($0) }
    + ["ab", "abc", "\"a\"", "true", "12", "],", "null", "a\"", "{\"", ":\"", "false", "-0", "", ""]

  private static func vocabulary(jumps: Bool) -> GrammarVocabulary {
    GrammarVocabulary(
      count: 61, text: { Array(texts[Int($0)].utf8) },
      usualTokens: { bytes in
        jumps ? bytes.map { byte in Int32(texts.firstIndex { Array($0.utf8) == [byte] } ?? 0) } : []
      })
  }

  private static let specifications: [GrammarSpecification] = [
    .regex("[a-f]{3,9}(true|false)?"),
    .choice(["abc", "null", "true", "abcabcabc", "12"]),
    .grammar(
      #"root ::= "{\"abc\":" value ",\"abcdef\":" value "}"  value ::= "null" | "[" value "]" | [0-9]{1,3}"#),
    .regex("(ab|a)+-(0|1)*"),
  ]

  private static func requests(_ count: Int, seed: UInt64, jumps: Bool) throws -> [GenerationRequest] {
    let vocabulary = vocabulary(jumps: jumps)
    let grammars = try specifications.map {
      TokenGrammar(try GrammarAutomaton($0), vocabulary: vocabulary)
    }
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { index in
      let prompt = (0..<Int.random(in: 1...30, using: &generator)).map { _ in
        Int32.random(in: 0..<61, using: &generator)
      }
      var request = GenerationRequest(
        prompt, max: Int.random(in: 1...50, using: &generator), seed: UInt64(index),
        temperature: index % 3 == 0 ? 0 : 1.3)
      request.stop.endOfTextTokens = [60]
      // Every fifth is free, beside the others.
      if index % 5 != 4 { request.grammar = grammars[index % 4] }
      switch index % 6 {
      case 1: request.stop.minTokens = 5
      case 2: request.sampling.repetitionPenalty = 1.2
      case 3: request.stop.stopTokens = [59, 0]
      case 4: request.stop.ignoreEndOfText = true
      case 5: request.sampling.topK = 20
      default: break
      }
      return request
    }
  }

  /// By definition: no engine, no drafts.
  private static func reference(_ request: GenerationRequest) throws -> (tokens: [Int32], isLength: Bool) {
    guard let grammar = request.grammar else {
      let tokens = try HistoryModel.reference(request, vocabularySize: 61)
      return (tokens, true)
    }
    var sampler = Sampler(vocabularySize: 61)
    var endTokens = request.stop.stopTokens
    if !request.stop.ignoreEndOfText { endTokens += request.stop.endOfTextTokens }
    let state = SamplingState(
      parameters: request.sampling, seed: request.sampling.seed ?? 0, choice: 0, prompt: request.prompt,
      endTokens: endTokens, minTokens: request.stop.minTokens, vocabularySize: 61)
    var matcher = grammar.matcher()
    var tokens = request.prompt
    for _ in 0..<request.stop.maxTokens {
      var mask = [UInt32](repeating: 0, count: 2)
      try matcher.mask(into: &mask)
      for token in endTokens {
        let bit: UInt32 = 1 << UInt32(token % 32)
        if matcher.isAccepting { mask[Int(token) / 32] |= bit } else { mask[Int(token) / 32] &= ~bit }
      }
      let token = try sampler.sample(
        HistoryModel.logits(after: tokens, vocabularySize: 61), state, position: tokens.count, mask: mask)
      tokens.append(token)
      state.append(token)
      if endTokens.contains(token) { return (Array(tokens.dropFirst(request.prompt.count)), false) }
      #expect(try matcher.advance(token))
      if matcher.isComplete { return (Array(tokens.dropFirst(request.prompt.count)), false) }
    }
    return (Array(tokens.dropFirst(request.prompt.count)), true)
  }

  @Test(
    "Tokens are those of the definition, with and without drafts, jumps and preemption",
    arguments: [(400, 256, 64), (24, 80, 40), (24, 16, 16), (60, 64, 1)], [0, 4])
  func sameTokens(shape: (blocks: Int, batch: Int, sequences: Int), drafts: Int) throws {
    for jumps in [true, false] {
      let requests = try Self.requests(48, seed: 3, jumps: jumps)
      let hooks = HistoryModel.Hooks(paused: true)
      let limits = EngineLimits.history(blocks: shape.blocks, batch: shape.batch, sequences: shape.sequences)
      let engine = try Engine.history(
        hooks, blocks: shape.blocks, batch: shape.batch, sequences: shape.sequences
      ) {
        if drafts > 0 { $0.speculation = .history(limits, drafts: drafts, rate: 3) }
      }
      let streams = try requests.map { try engine.submit($0) }
      hooks.resume()
      for (request, stream) in zip(requests, streams) {
        let answer = Answer(stream)
        let expected = try Self.reference(request)
        #expect(answer.tokens[0] == expected.tokens)
        #expect(answer.disorder.isEmpty)
        if request.grammar != nil, !expected.isLength {
          #expect(answer.reasons[0] != .length)
          if case .failed(let why) = answer.reasons[0] { Issue.record("\(why)") }
        }
      }
      let statistics = engine.statistics()
      engine.stop()
      #expect(hooks.snapshot.breaches.isEmpty)
      #expect(statistics.kvCacheUsage == 0)
    }
  }

  @Test("Text that leaves no choice comes in fewer steps")
  func jumps() throws {
    var steps: [Int] = []
    for jumps in [false, true] {
      let hooks = HistoryModel.Hooks()
      let engine = try Engine.history(hooks)
      var request = GenerationRequest([1, 2, 3], max: 60, seed: 3, temperature: 0)
      // Only single letters spell this.
      request.grammar = TokenGrammar(
        try GrammarAutomaton(.choice(["zyxwvutsrqponmlkjihgfedc"])), vocabulary: Self.vocabulary(jumps: jumps)
      )
      let answer = try engine.answer(request)
      engine.stop()
      #expect(answer.tokens[0]?.count == 24)
      #expect(answer.reasons[0] == .endOfText)
      steps.append(hooks.snapshot.steps)
    }
    #expect(steps == [24, 2])
  }

  @Test("Choices of one request each follow the grammar")
  func choices() throws {
    let engine = try Engine.history()
    var request = GenerationRequest([1, 2, 3, 4], max: 40, seed: 5, temperature: 1)
    request.choices = 4
    request.grammar = TokenGrammar(
      try GrammarAutomaton(.regex("[a-z]{4,6}-[0-9]{2}")), vocabulary: Self.vocabulary(jumps: true))
    let answer = try engine.answer(request)
    engine.stop()
    let texts = (0..<4).map { choice in
      (answer.tokens[choice] ?? []).map { Self.texts[Int($0)] }.joined()
    }
    let dfa = try GrammarAutomaton(.regex("[a-z]{4,6}-[0-9]{2}"))
    for text in texts {
      var matcher = TokenGrammar(dfa, vocabulary: Self.vocabulary(jumps: false)).matcher()
      for character in text {
        let token = Self.texts.firstIndex(of: String(character)) ?? 60
        #expect(try matcher.advance(Int32(token)), "\(text)")
      }
      #expect(matcher.isComplete, "\(text)")
    }
    #expect(Set(texts).count > 1)
  }

  @Test("A grammar that other settings leave nothing of fails its request only")
  func nothingLeft() throws {
    let engine = try Engine.history()
    var request = GenerationRequest([1, 2, 3], max: 10, seed: 3, temperature: 1)
    request.sampling.allowedTokens = [5, 6]
    request.grammar = TokenGrammar(
      try GrammarAutomaton(.choice(["zz"])), vocabulary: Self.vocabulary(jumps: true))
    let answer = try engine.answer(request)
    guard case .failed(let why) = answer.reasons[0] else {
      Issue.record("it did not fail")
      return
    }
    #expect(why.contains("grammar"))
    let other = try engine.answer(GenerationRequest([1], max: 3, seed: 1, temperature: 0))
    #expect(other.tokens[0]?.count == 3)
    engine.stop()
  }
}

import CPUBackend
import Checkpoints
import Grammars
import Models
import TestSupport
import Testing

@testable import Generation

/// Everything at once on a pool that is too small for it: adapters, grammars, speculation, several choices, embeddings,
/// log-probabilities, shared prefixes and cancellations. What comes out is what each request gives alone.
@Suite struct EngineMixedLoadTests {
  private func engine(blocks: Int, speculation method: SpeculationSettings.Method?) throws -> Engine {
    var options = EngineOptions()
    // Proves used + cached + free = total, and every lease, after each step.
    options.validateEachStep = true
    if let method { options.speculation = .method(method, drafts: 4) }
    var limits = ModelLimits(maxBatchTokens: 48, maxSequences: 10, maxModelLength: 128, maxLogitRows: 64)
    limits.maxAdapterRank = 40
    return try Engine.start(options) { [limits] in
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: CPUBackend(threads: 1),
        limits: limits, blockCount: blocks)
    }
  }

  /// Letters for some of the model's tokens; what the tokens mean does not matter to it.
  private static func grammars() throws -> [TokenGrammar] {
    let vocabulary = GrammarVocabulary(
      count: 512, text: { (4..<30).contains($0) ? [UInt8(ascii: "a") + UInt8($0 - 4)] : nil },
      usualTokens: { $0.map { Int32($0 - UInt8(ascii: "a")) + 4 } })
    return try [.regex("[a-k]{2,20}(forced)?"), .grammar(#"root ::= ("a" root "b" | [c-z]{1,9} "jump")"#)].map
    {
      TokenGrammar(try GrammarAutomaton($0), vocabulary: vocabulary)
    }
  }

  private func requests(_ adapters: [Int32], seed: UInt64) throws -> [GenerationRequest] {
    var random = SeededGenerator(seed: seed)
    let grammars = try Self.grammars()
    let shared = (0..<40).map { _ in Int32.random(in: 4..<24, using: &random) }
    return (0..<60).map { index in
      let own = (0..<Int.random(in: 1...24, using: &random)).map { _ in
        Int32.random(in: 4..<24, using: &random)
      }
      let prompt = Bool.random(using: &random) ? shared + own : own
      let isEmbedding = Int.random(in: 0..<6, using: &random) == 0
      var request = GenerationRequest(
        prompt, max: isEmbedding ? 0 : Int.random(in: 1...40, using: &random), seed: UInt64(index),
        temperature: index % 3 == 0 ? 0.9 : 0)
      request.adapter = adapters[Int.random(in: 0..<adapters.count, using: &random)]
      if isEmbedding {
        request.embedding = Bool.random(using: &random) ? .mean : .last
      } else {
        if index % 3 == 0 { request.choices = Int.random(in: 1...3, using: &random) }
        if index % 4 == 1 { request.grammar = grammars[index / 4 % 2] }
        if index % 5 == 0 { request.logprobs = 2 }
        if index % 7 == 0 { request.cacheSalt = "tenant" }
      }
      return request
    }
  }

  @Test(
    "No token is lost, doubled or changed, and all memory comes back",
    arguments: [SpeculationSettings.Method.ngram(PromptLookupSettings()), .suffix(SuffixSettings())])
  func mixed(_ method: SpeculationSettings.Method) throws {
    let paths = ["lora/llama-all", "lora/llama-rs"]
    let alone = try engine(blocks: 64, speculation: nil)
    var adapters: [Int32] = [0]
    for path in paths { adapters.append(try alone.loadAdapter(path: Fixtures.path(path))) }
    let requests = try requests(adapters, seed: 41)
    let expected = try requests.map { try alone.answer($0) }
    alone.stop()

    let engine = try engine(blocks: 22, speculation: method)
    for path in paths { _ = try engine.loadAdapter(path: Fixtures.path(path)) }
    var random = SeededGenerator(seed: 42)
    for round in 0..<3 {
      let streams = try requests.map { try engine.submit($0) }
      // Some leave at once, some after a few tokens, some end a choice of theirs.
      var answers = Array(repeating: Answer(), count: streams.count)
      var leaving: Set<Int> = []
      for index in streams.indices {
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          streams[index].cancel()
          leaving.insert(index)
        case 1:
          for event in streams[index].next(timeoutMilliseconds: nil) ?? [] { answers[index].take(event) }
          streams[index].cancel()
          leaving.insert(index)
        default: break
        }
      }
      for index in streams.indices {
        while let events = streams[index].next(timeoutMilliseconds: nil) {
          for event in events { answers[index].take(event) }
        }
        #expect(answers[index].disorder.isEmpty, "\(answers[index].disorder)")
        #expect(answers[index].reasons.count == requests[index].choices)
        if leaving.contains(index) {
          for (choice, tokens) in answers[index].tokens {
            #expect(
              expected[index].tokens[choice]?.starts(with: tokens) == true, "request \(index), round \(round)"
            )
          }
        } else {
          #expect(answers[index] == expected[index], "request \(index), round \(round)")
          #expect(answers[index].embedding == expected[index].embedding)
          #expect(answers[index].logprobs == expected[index].logprobs)
        }
      }
      let statistics = engine.statistics()
      #expect(statistics.kvCacheUsage == 0 && statistics.adapters.isEmpty)
      #expect(statistics.runningRequests == 0 && statistics.waitingRequests == 0)
    }
    let statistics = engine.statistics()
    #expect(statistics.preemptions > 0)
    #expect(statistics.speculation?.acceptedTokens ?? 0 > 0)
    for id in adapters.dropFirst() { engine.unloadAdapter(id) }
    engine.stop()
  }
}

extension EngineMixedLoadTests {
  @Test("As many sequences as there may be, each as long as it may be, fit one step's block tables")
  func fullTables() throws {
    for length in [16, 64, 512] {
      let limits = ModelLimits(
        maxBatchTokens: 64, maxSequences: 24, maxModelLength: length, maxLogitRows: 64)
      let engine = try Engine.start(EngineOptions()) {
        try GraphModel(
          checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: CPUBackend(threads: 1),
          limits: limits, blockCount: 24 * length / 16)
      }
      // Their last steps are one step of all.
      let prompts = (0..<24).map { index in Array(repeating: Int32(index + 5), count: length - 8) }
      let streams = try prompts.map { try engine.submit(GenerationRequest($0, max: 8, temperature: 0)) }
      for stream in streams { #expect(Answer(stream).tokens[0]?.count ?? 0 > 0) }
      #expect(engine.statistics().isAlive)
      engine.stop()
    }
  }
}

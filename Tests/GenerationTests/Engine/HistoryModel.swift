import Compute
import Scheduling
import Synchronization

@testable import Generation

/// A model whose logits are a hash of all tokens so far, which it reads back through the paged cache exactly as
/// the plan says. A wrong slot, block table, position or length gives other tokens.
@safe final class HistoryModel: EngineModel {
  let limits: EngineLimits
  private let hooks: Hooks
  /// By slot: the token and position stored there; -1 for never written.
  private var cache: [(token: Int32, position: Int32)]
  private var logits: UnsafeMutableBufferPointer<Float>

  /// What a test may do from outside while the model belongs to the engine's thread.
  final class Hooks: Sendable {
    struct State: Sendable {
      /// Steps that may run; nil runs all.
      var permits: Int?
      var waiting = 0
      var failure: KernelError?
      /// A sequence whose last token is this one gets NaN logits.
      var poison: Int32?
      /// A sequence with one of these last tokens gets this token as its most likely.
      var forced: [Int32: Int32] = [:]
      var steps = 0
      var largestBatch = 0
      var tokens = 0
      /// The model found the cache in another state than the plan implies.
      var breaches: [String] = []
    }
    let state = Monitor(State())

    init(paused: Bool = false) {
      if paused { state.update { $0.permits = 0 } }
    }

    func allow(_ steps: Int) { state.update { $0.permits = ($0.permits ?? 0) + steps } }
    func resume() { state.update { $0.permits = nil } }
    /// Waits until the model stands before a step it may not take yet.
    func waitUntilBlocked() { state.wait(until: nil) { $0.waiting > 0 ? () : nil } }
    var snapshot: State { state.withLock { $0 } }
  }

  init(_ limits: EngineLimits, _ hooks: Hooks) {
    self.limits = limits
    self.hooks = hooks
    cache = Array(repeating: (-1, -1), count: limits.blockCount * KVBlockPool.blockSize)
    unsafe logits = .allocate(capacity: limits.maxLogitRows * limits.vocabularySize)
  }

  deinit { unsafe logits.deallocate() }

  /// Every adapter is there, and changes nothing.
  func hasAdapter(_ id: Int32) -> Bool { true }

  func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows {
    hooks.state.update { $0.waiting += 1 }
    let failure = hooks.state.wait(until: nil) { state -> KernelError?? in
      if let permits = state.permits {
        if permits == 0 { return nil }
        state.permits = permits - 1
      }
      state.waiting -= 1
      state.steps += 1
      return .some(state.failure)
    }
    if let failure, let error = failure { throw error }
    for index in plan.tokens.indices {
      cache[Int(plan.slots[index])] = (plan.tokens[index], plan.positions[index])
    }
    let (poison, forced) = hooks.state.withLock { ($0.poison, $0.forced) }
    var breaches: [String] = []
    for (row, entry) in plan.entries.enumerated() {
      for logitRow in entry.logitRange {
        let token = Int(plan.logitRows[logitRow])
        let position = Int(plan.positions[token])
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var last: Int32 = -1
        for at in 0...position {
          let block = plan.blockTables[row * plan.blockTableStride + at / KVBlockPool.blockSize]
          let cell = cache[Int(block) * KVBlockPool.blockSize + at % KVBlockPool.blockSize]
          if cell.position != at { breaches.append("position \(at) holds \(cell)") }
          hash = (hash ^ UInt64(UInt32(bitPattern: cell.token))) &* 0x0000_0100_0000_01B3
          last = cell.token
        }
        fill(logitRow, hash, last == poison ? nil : .some(forced[last]))
      }
      if Int(plan.contextLengths[row]) != Int(plan.positions[entry.tokenStart]) + entry.tokenCount {
        breaches.append("context length \(plan.contextLengths[row])")
      }
    }
    hooks.state.update { [breaches, count = plan.entries.count, tokens = plan.tokens.count] state in
      state.breaches += breaches
      state.largestBatch = max(state.largestBatch, count)
      state.tokens += tokens
    }
    return unsafe LogitRows(
      UnsafePointer(logits.baseAddress.unsafelyUnwrapped), count: plan.logitRows.count,
      vocabularySize: limits.vocabularySize)
  }

  private func fill(_ row: Int, _ hash: UInt64, _ forced: Int32??) {
    for token in 0..<limits.vocabularySize {
      unsafe logits[row * limits.vocabularySize + token] =
        forced == nil ? .nan : Self.logit(hash, token)
    }
    if case .some(.some(let token)) = forced {
      unsafe logits[row * limits.vocabularySize + Int(token)] = 50
    }
  }

  /// −4 … 4.
  static func logit(_ hash: UInt64, _ token: Int) -> Float {
    var value = hash &+ UInt64(token) &* 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return Float(value >> 40) * 0x1p-21 - 4
  }

  /// The logits after these tokens, by definition.
  static func logits(after tokens: [Int32], vocabularySize: Int) -> [Float] {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for token in tokens { hash = (hash ^ UInt64(UInt32(bitPattern: token))) &* 0x0000_0100_0000_01B3 }
    return (0..<vocabularySize).map { logit(hash, $0) }
  }

  /// What an engine must answer: the model and the sampler in a plain loop.
  static func reference(_ request: GenerationRequest, choice: Int = 0, vocabularySize: Int) throws -> [Int32]
  {
    var sampler = Sampler(vocabularySize: vocabularySize)
    var endTokens = request.stop.stopTokens
    if !request.stop.ignoreEndOfText { endTokens += request.stop.endOfTextTokens }
    let state = SamplingState(
      parameters: request.sampling, seed: request.sampling.seed ?? 0, choice: choice, prompt: request.prompt,
      endTokens: endTokens, minTokens: request.stop.minTokens, vocabularySize: vocabularySize)
    var tokens = request.prompt
    for _ in 0..<request.stop.maxTokens {
      let token = try sampler.sample(
        logits(after: tokens, vocabularySize: vocabularySize), state, position: tokens.count)
      tokens.append(token)
      state.append(token)
      if endTokens.contains(token) { break }
    }
    return Array(tokens.dropFirst(request.prompt.count))
  }
}

/// What came out of a stream.
struct Answer: Equatable {
  var prompts: [(cached: Int, logprobs: [TokenLogprobs?]?)] = []
  var tokens: [Int: [Int32]] = [:]
  var logprobs: [Int: [TokenLogprobs?]] = [:]
  var reasons: [Int: FinishReason] = [:]
  var drafts: (accepted: Int, refused: Int)?
  var embedding: [Float]?
  /// Events that broke the order the protocol promises.
  var disorder: [String] = []

  static func == (left: Answer, right: Answer) -> Bool {
    left.tokens == right.tokens && left.reasons == right.reasons
  }

  mutating func take(_ event: TokenEvent) {
    switch event {
    case .prompt(let cached, let logprobs):
      if !tokens.isEmpty || !prompts.isEmpty { disorder.append("a second or late prompt event") }
      prompts.append((cached, logprobs))
    case .token(let choice, let token, let found):
      if prompts.isEmpty { disorder.append("a token before the prompt") }
      if reasons[choice] != nil { disorder.append("a token after the end") }
      tokens[choice, default: []].append(token)
      logprobs[choice, default: []].append(found)
    case .speculation(let accepted, let refused):
      if drafts != nil { disorder.append("drafts counted twice") }
      drafts = (accepted, refused)
    case .embedding(let vector):
      if embedding != nil || !reasons.isEmpty { disorder.append("a second or late embedding") }
      embedding = vector
    case .finished(let choice, let reason):
      if reasons[choice] != nil { disorder.append("a second end") }
      reasons[choice] = reason
    }
  }

  init() {}

  /// Reads a stream to its end.
  init(_ stream: any GenerationStream) {
    while let events = stream.next(timeoutMilliseconds: nil) {
      for event in events { take(event) }
    }
  }
}

extension Engine {
  static func history(
    _ hooks: HistoryModel.Hooks = HistoryModel.Hooks(), vocabulary: Int = 61, length: Int = 512,
    blocks: Int = 400, batch: Int = 256, sequences: Int = 64, device: HistoryDevice.Log? = nil,
    _ change: (inout EngineOptions) -> Void = { _ in }
  ) throws -> Engine {
    var options = EngineOptions()
    options.validateEachStep = true
    options.maxQueuedRequests = 100_000
    change(&options)
    let limits = EngineLimits(
      vocabularySize: vocabulary, maxModelLength: length, blockCount: blocks, maxBatchTokens: batch,
      maxSequences: sequences, maxLogitRows: batch, device: "history")
    return try Engine.start(options) {
      if let device { HistoryDevice(limits, hooks, device) } else { HistoryModel(limits, hooks) }
    }
  }

  func answer(_ request: GenerationRequest) throws -> Answer { Answer(try submit(request)) }
}

extension GenerationRequest {
  init(_ prompt: [Int32], max: Int, seed: UInt64? = 1, temperature: Float = 1) {
    self.init(id: "test", prompt: prompt, stop: StopConditions(maxTokens: max))
    sampling.seed = seed
    sampling.temperature = temperature
  }
}

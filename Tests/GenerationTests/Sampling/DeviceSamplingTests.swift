import Compute
import KernelBackend
import Numerics
import TestSupport
import Testing

@testable import Generation

/// The device's sampling against `Sampler`: the same tokens, and log-probabilities within what their sum is rounded to.
@Suite struct DeviceSamplingTests {
  /// A step's rows on the emulated device.
  private struct Step {
    let backend: KernelBackend
    let vocabulary: Int
    var rows: [[Float]] = []
    var states: [SamplingState] = []
    var alternatives: [Int?] = []
    /// Of rows that are restricted after they have been added, as a grammar's are.
    var masks: [Int: [UInt32]] = [:]

    /// By row; nil where the device leaves it to the host.
    func run(
      _ sampler: any TokenSampler, pending: Int = 0
    ) throws -> [Result<(token: Int32, logprobs: TokenLogprobs?), SamplingFailure>?] {
      let storage = try backend.allocate(byteCount: 4 * rows.count * vocabulary)
      let logits = unsafe TensorView(
        address: storage.address, shape: Shape(rows.count, vocabulary), dataType: .float32)
      unsafe try rows.flatMap { $0 }.withUnsafeBytes { unsafe try backend.upload($0, to: logits) }
      var batch = SamplingBatch(sampler.capacity)
      for row in rows.indices.reversed() {
        _ = batch.add(
          states[row], row: row, position: 100 + row, pending: pending, alternatives: alternatives[row],
          isRestricted: masks[row] != nil)
      }
      for (row, mask) in masks { batch.restrict(row: row, to: mask) }
      if batch.isEmpty { return rows.map { _ in nil } }
      try sampler.enqueue(batch, logits: logits, inputs: nil)
      var results = SamplingResults()
      try sampler.collect(batch, into: &results)
      return withExtendedLifetime(storage) {
        rows.indices.map { row in
          batch.places(ofRow: row).map { place in
            Result { () throws(SamplingFailure) in try results.token(at: place) }
          }
        }
      }
    }
  }

  private static func row(_ count: Int, _ kind: Int, _ random: inout SeededGenerator) -> [Float] {
    var row = (0..<count).map { _ -> Float in
      let value = Float.random(in: -1...1, using: &random)
      switch kind {
      case 0: return 3 * value
      case 1: return (24 * value).rounded() / 8  // ties
      case 2: return 40 * value
      case 3: return 1  // nothing but ties
      case 4: return Bool.random(using: &random) ? -.infinity : value
      default: return -.infinity
      }
    }
    if kind == 6 { row[Int.random(in: 0..<count, using: &random)] = .nan }
    if kind == 7 { row[Int.random(in: 0..<count, using: &random)] = .infinity }
    return row
  }

  private static func state(_ vocabulary: Int, _ random: inout SeededGenerator) -> SamplingState {
    var parameters = SamplingParameters()
    func chance(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &random) == 0 }
    func token() -> Int32 { Int32.random(in: 0..<Int32(vocabulary), using: &random) }
    parameters.temperature = [0, 0.3, 1, 1, 1.7, 1e-4].randomElement(using: &random) ?? 1
    if chance(2) { parameters.topK = Int.random(in: 1...vocabulary + 2, using: &random) }
    if chance(2) { parameters.topP = Float.random(in: 0.001..<1, using: &random) }
    if chance(2) { parameters.minP = Float.random(in: 0.001...1, using: &random) }
    if chance(3) { parameters.repetitionPenalty = Float.random(in: 0.5...2, using: &random) }
    if chance(3) { parameters.presencePenalty = Float.random(in: -2...2, using: &random) }
    if chance(3) { parameters.frequencyPenalty = Float.random(in: -2...2, using: &random) }
    if chance(3) {
      for _ in 0..<Int.random(in: 1...9, using: &random) {
        parameters.logitBias[token()] = [-100, 100, 0.5, -3].randomElement(using: &random) ?? 0
      }
    }
    if chance(4) {
      parameters.allowedTokens = (0..<Int.random(in: 0...6, using: &random)).map { _ in token() }
    }
    let output = (0..<Int.random(in: 0...7, using: &random)).map { _ in token() }
    if chance(3) {
      parameters.badWords = [[token()], [token()], Array(output.suffix(2)) + [token()], [token(), token()]]
    }
    let endTokens = chance(2) ? [token(), token()] : []
    let state = SamplingState(
      parameters: parameters, seed: random.next(), choice: Int.random(in: 0...3, using: &random),
      prompt: (0..<5).map { _ in token() }, endTokens: endTokens,
      minTokens: Int.random(in: 0...8, using: &random), vocabularySize: vocabulary)
    for token in output { state.append(token) }
    return state
  }

  private static func capacity(_ vocabulary: Int, rows: Int) -> SamplingCapacity {
    SamplingCapacity(vocabularySize: vocabulary, rows: rows, sequences: rows, modelLength: 64)
  }

  @Test(
    "Random settings give the host's tokens and log-probabilities", arguments: [1, 2, 5, 33, 300, 1031, 2052])
  func matchesHost(vocabulary: Int) throws {
    var random = SeededGenerator(seed: UInt64(vocabulary) + 77)
    let backend = try KernelBackend(.emulated, workers: 2)
    let sampler = try backend.makeTokenSampler(Self.capacity(vocabulary, rows: 70))
    var host = Sampler(vocabularySize: vocabulary)
    var failures = 0
    for round in 0..<3 {
      var step = Step(backend: backend, vocabulary: vocabulary)
      // One round with more changed rows than are computed at a time.
      for index in 0..<(round == 2 && vocabulary < 100 ? 70 : 16) {
        step.rows.append(Self.row(vocabulary, index % 8, &random))
        step.states.append(Self.state(vocabulary, &random))
        step.alternatives.append([nil, 0, 5, 20][(index + round) % 4])
        if index % 3 == 1 {
          step.masks[index] = (0..<sampler.capacity.maskWords).map { _ in
            UInt32(truncatingIfNeeded: random.next())
          }
        }
      }
      let found = try step.run(sampler)
      for row in step.rows.indices {
        let note = "round \(round), row \(row), \(step.states[row].parameters)"
        let given = try #require(found[row], "\(note)")
        do {
          let token = try host.sample(
            step.rows[row], step.states[row], position: 100 + row, mask: step.masks[row])
          let logprobs = try step.alternatives[row].map {
            try host.logprobs(step.rows[row], token: token, top: $0)
          }
          let (foundToken, foundLogprobs) = try given.get()
          #expect(foundToken == token, "\(note)")
          Self.compare(foundLogprobs, logprobs, vocabulary, note)
        } catch let wanted as SamplingFailure {
          failures += 1
          #expect(throws: wanted, "\(note)") { try given.get() }
        }
      }
    }
    #expect(failures > 0)
  }

  /// On a device the sum of weights is an integer, each truncated by up to 2⁻⁴⁴ of the largest.
  private static func compare(
    _ found: TokenLogprobs?, _ wanted: TokenLogprobs?, _ vocabulary: Int, _ note: String
  ) {
    guard let found, let wanted else {
      #expect(found == nil && wanted == nil, "\(note)")
      return
    }
    #expect(found.top.count == wanted.top.count)
    for (left, right) in zip([found.chosen] + found.top, [wanted.chosen] + wanted.top) {
      #expect(left.token == right.token && left.rank == right.rank, "\(note)")
      if left.logprob == right.logprob { continue }
      let allowed = right.logprob.ulp + Float(vocabulary) * 0x1p-43
      #expect(abs(left.logprob - right.logprob) <= allowed, "\(note)")
    }
  }

  @Test func `end tokens stay masked for tokens that are not recorded yet`() throws {
    let backend = try KernelBackend(.emulated)
    let sampler = try backend.makeTokenSampler(Self.capacity(9, rows: 4))
    var host = Sampler(vocabularySize: 9)
    var step = Step(backend: backend, vocabulary: 9)
    var parameters = SamplingParameters()
    parameters.temperature = 0
    step.rows = [[0, 1, 2, 9, 4, 5, 6, 7, 8]]
    step.alternatives = [nil]
    for (minTokens, expected) in [(0, Int32(3)), (1, 3), (2, 8)] {
      let state = SamplingState(
        parameters: parameters, seed: 1, choice: 0, prompt: [1], endTokens: [3], minTokens: minTokens,
        vocabularySize: 9)
      step.states = [state]
      let found = try #require(try step.run(sampler, pending: 1)[0]).get()
      #expect(found.token == expected)
      state.append(0)
      #expect(try host.sample(step.rows[0], state, position: 100) == expected)
    }
  }

  @Test("Penalties count a token that only the device knows", arguments: [1, 6, 40, 1031])
  func freshTokens(vocabulary: Int) throws {
    let backend = try KernelBackend(.emulated)
    let sampler = try backend.makeTokenSampler(Self.capacity(vocabulary, rows: 12))
    var host = Sampler(vocabularySize: vocabulary)
    var random = SeededGenerator(seed: UInt64(vocabulary) + 5)
    let storage = try backend.allocate(byteCount: 4 * 12 * vocabulary)
    let inputStorage = try backend.allocate(byteCount: 4 * 20)
    let logits = unsafe TensorView(address: storage.address, shape: Shape(12, vocabulary), dataType: .float32)
    let inputs = unsafe TensorView(address: inputStorage.address, shape: Shape(20), dataType: .int32)
    let tokens = (0..<20).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
    unsafe try tokens.withUnsafeBytes { unsafe try backend.upload($0, to: inputs) }
    let rows = (0..<12).map { _ in Self.row(vocabulary, 0, &random) }
    unsafe try rows.flatMap { $0 }.withUnsafeBytes { unsafe try backend.upload($0, to: logits) }
    var batch = SamplingBatch(sampler.capacity)
    var states: [SamplingState] = []
    for row in 0..<12 {
      var parameters = SamplingParameters()
      parameters.temperature = row % 3 == 0 ? 0 : 1
      parameters.repetitionPenalty = row % 2 == 0 ? 1.8 : 1
      parameters.frequencyPenalty = 1.5
      parameters.presencePenalty = row % 4 == 0 ? -1 : 2
      let state = SamplingState(
        parameters: parameters, seed: UInt64(row), choice: 0, prompt: tokens.prefix(3),
        vocabularySize: vocabulary)
      for token in tokens[8..<8 + row % 5] { state.append(token) }
      let isAdded = batch.add(
        state, row: row, position: 50, pending: 1, fresh: row + 7, alternatives: nil)
      #expect(isAdded)
      states.append(state)
    }
    #expect(throws: KernelError.self) { try sampler.enqueue(batch, logits: logits, inputs: nil) }
    try sampler.enqueue(batch, logits: logits, inputs: inputs)
    var results = SamplingResults()
    try sampler.collect(batch, into: &results)
    for row in 0..<12 {
      states[row].append(tokens[row + 7])
      #expect(
        try results.token(at: row).token == host.sample(rows[row], states[row], position: 50), "row \(row)")
    }
    withExtendedLifetime((storage, inputStorage)) {}
  }

  @Test func `what does not fit is left to the host, and the rest is sampled`() throws {
    let backend = try KernelBackend(.emulated)
    var capacity = SamplingCapacity(
      vocabularySize: 40, rows: 5, edits: 3, seenTokens: 4, masks: 1, alternatives: 6)
    let sampler = try backend.makeTokenSampler(capacity)
    var step = Step(backend: backend, vocabulary: 40)
    var random = SeededGenerator(seed: 5)
    func add(
      _ alternatives: Int? = nil, prompt: [Int32] = [],
      _ change: (inout SamplingParameters) -> Void = { _ in }
    ) {
      var parameters = SamplingParameters()
      change(&parameters)
      step.rows.append(Self.row(40, 0, &random))
      step.states.append(
        SamplingState(parameters: parameters, seed: 3, choice: 0, prompt: prompt, vocabularySize: 40))
      step.alternatives.append(alternatives)
    }
    func sampled(pending: Int = 0) throws -> [Bool] {
      try step.run(sampler, pending: pending).map { $0 != nil }
    }

    // Rows enter from the last on.
    add { $0.logitBias = [1: 1, 2: 2] }
    add { $0.logitBias = [1: 1, 2: 2] }
    #expect(try sampled() == [false, true])
    (step.rows, step.states, step.alternatives) = ([], [], [])
    add { $0.allowedTokens = [3] }
    add { $0.allowedTokens = [4] }
    #expect(try sampled() == [false, true])
    (step.rows, step.states, step.alternatives) = ([], [], [])
    add(prompt: [1, 2, 3]) { $0.presencePenalty = 1 }
    add(prompt: [1, 2, 3]) { $0.presencePenalty = 1 }
    add { $0.temperature = 0 }
    #expect(try sampled() == [false, true, true])
    #expect(try sampled(pending: 1) == [false, false, true])
    (step.rows, step.states, step.alternatives) = ([], [], [])
    add(3)
    add(2)
    add(3)
    add(1100)
    #expect(try sampled() == [false, true, true, false])
    capacity.alternatives = 100
    var batch = SamplingBatch(capacity)
    // Rows there are not, and a row twice.
    let added = [5, 4, 4, -1].map { batch.add(step.states[0], row: $0, position: 1, alternatives: nil) }
    #expect(added == [false, true, false, false])
    batch.removeAll()
    #expect(batch.places(ofRow: 4) == nil)
  }

  @Test func `two batches are under way at once, each with its own results`() throws {
    let backend = try KernelBackend(.emulated)
    let sampler = try backend.makeTokenSampler(Self.capacity(50, rows: 3))
    var random = SeededGenerator(seed: 8)
    let storage = try backend.allocate(byteCount: 4 * 50)
    let logits = unsafe TensorView(address: storage.address, shape: Shape(1, 50), dataType: .float32)
    var host = Sampler(vocabularySize: 50)
    var batches: [SamplingBatch] = []
    var wanted: [Int32] = []
    func send() throws {
      let row = Self.row(50, 0, &random)
      let state = Self.state(50, &random)
      unsafe try row.withUnsafeBytes { unsafe try backend.upload($0, to: logits) }
      var batch = SamplingBatch(sampler.capacity)
      let isAdded = batch.add(state, row: 0, position: 7, alternatives: nil)
      #expect(isAdded)
      try sampler.enqueue(batch, logits: logits, inputs: nil)
      batches.append(batch)
      wanted.append((try? host.sample(row, state, position: 7)) ?? -1)
    }
    var results = SamplingResults()
    try send()
    for _ in 0..<6 {
      try send()
      try sampler.collect(batches.removeFirst(), into: &results)
      #expect(((try? results.token(at: 0).token) ?? -1) == wanted.removeFirst())
    }
    withExtendedLifetime(storage) {}
  }

  @Test func `vocabularies and rows that cannot be sampled are refused`() throws {
    let backend = try KernelBackend(.emulated)
    for vocabulary in [0, 1 << 20] {
      #expect(throws: KernelError.self) {
        try backend.makeTokenSampler(Self.capacity(vocabulary, rows: 1))
      }
    }
    let sampler = try backend.makeTokenSampler(Self.capacity(8, rows: 3))
    let storage = try backend.allocate(byteCount: 4 * 16)
    var batch = SamplingBatch(sampler.capacity)
    let state = SamplingState(
      parameters: SamplingParameters(), seed: 1, choice: 0, prompt: [], vocabularySize: 8)
    let isAdded = batch.add(state, row: 2, position: 0, alternatives: nil)
    #expect(isAdded)
    for shape in [Shape(2, 8), Shape(2, 7)] {
      let logits = unsafe TensorView(address: storage.address, shape: shape, dataType: .float32)
      #expect(throws: KernelError.self) { try sampler.enqueue(batch, logits: logits, inputs: nil) }
    }
  }
}

internal import Compute
internal import Generation
internal import Numerics

/// From logits to tokens. Where a backend does not sample, the engine's `Sampler` does, which is the reference.
enum SamplingCases {
  /// One token, broken groups of four, several passes of a block.
  private static let vocabularies = [1, 5, 97, 1003, 4100]

  static var all: [OperationCase] {
    vocabularies.flatMap { count in
      settings.map { sample(count, $0.name, $0.change) } + [
        logprobs(count, top: 0), logprobs(count, top: 20),
      ]
    } + [1, 128, 131].map(feed)
  }

  private static let settings: [(name: String, change: @Sendable (inout Subject) -> Void)] = [
    ("greedy", { $0.parameters.temperature = 0 }),
    ("temperature", { $0.parameters.temperature = 0.8 }),
    ("top-k", { $0.parameters.topK = 7 }),
    ("top-p", { $0.parameters.topP = 0.7 }),
    ("min-p", { $0.parameters.minP = 0.05 }),
    (
      "top-k, top-p, min-p",
      { ($0.parameters.topK, $0.parameters.topP, $0.parameters.minP) = (40, 0.9, 0.01) }
    ),
    (
      "penalties",
      {
        $0.parameters.repetitionPenalty = 1.3
        $0.parameters.frequencyPenalty = 0.4
        $0.parameters.presencePenalty = -0.2
      }
    ),
    (
      "biases, end tokens",
      { subject in
        for token in subject.some { subject.parameters.logitBias[token] = Float(token % 7) - 2.5 }
        subject.endTokens = Array(subject.some.prefix(2))
      }
    ),
    ("allowed tokens", { $0.parameters.allowedTokens = $0.some }),
    ("bad words", { $0.parameters.badWords = $0.some.map { [$0] } }),
  ]

  /// What one case's rows are sampled with.
  private struct Subject {
    var parameters = SamplingParameters()
    var endTokens: [Int32] = []
    var history: [Int32]
    /// Some tokens of the vocabulary, each once.
    var some: [Int32]

    func state(_ vocabulary: Int, choice: Int) -> SamplingState {
      let state = SamplingState(
        parameters: parameters, seed: 0x9E37_79B9_7F4A_7C15, choice: choice, prompt: history.prefix(3),
        endTokens: endTokens, minTokens: 20, vocabularySize: vocabulary)
      for token in history.dropFirst(3) { state.append(token) }
      return state
    }
  }

  /// Rows of several kinds: all different, ties, tokens without mass, nothing allowed, nothing but ties, NaN.
  private static func rows(_ count: Int, _ values: CaseValues) -> [[Float]] {
    let wide = values.normal(count, 1, deviation: 3, .float32)
    var broken = wide
    broken[count / 2] = .nan
    return [
      wide, values.eighths(count, 2),
      wide.enumerated().map { $0.offset % 16 == 3 ? -.infinity : $0.element },
      [Float](repeating: -.infinity, count: count), [Float](repeating: 1, count: count), broken,
    ]
  }

  private static func sample(
    _ count: Int, _ name: String, _ change: @escaping (inout Subject) -> Void
  ) -> OperationCase {
    OperationCase(.sample, "6 rows of \(count), \(name)", .exact) { bench throws(KernelError) in
      var subject = Subject(
        history: bench.values.integers(9, 3, below: count),
        some: Array(bench.values.permutation(count, 4).prefix(11)))
      change(&subject)
      let rows = rows(count, bench.values)
      let states = rows.indices.map { subject.state(count, choice: $0) }
      return try bench.sampled(rows, states, top: nil).map(\.token)
    }
  }

  /// Sums of weights are integers on devices, so that their order does not count: each loses up to 2⁻⁴⁴.
  private static func bound(_ count: Int) -> (DataType) -> ErrorBound {
    { type in
      ErrorBound(relative: 2.02 * 0x1p-24 / type.unitRoundoff, scale: Double(count) * 0x1p-43)
    }
  }

  private static func logprobs(_ count: Int, top: Int) -> OperationCase {
    OperationCase(.logprobs, "6 rows of \(count), \(top) alternatives", bound(count)) {
      bench throws(KernelError) in
      let subject = Subject(history: [], some: [])
      let rows = rows(count, bench.values)
      let states = rows.indices.map { subject.state(count, choice: $0) }
      return try bench.sampled(rows, states, top: top).flatMap { [$0.token] + $0.logprobs }
    }
  }

  private static func feed(_ count: Int) -> OperationCase {
    OperationCase(.feed, "\(count) tokens, every third known", .exact) { bench throws(KernelError) in
      let sampled = bench.values.integers(count, 0, below: 1 << 16)
      let tokens = bench.values.integers(count, 1, below: 1 << 16)
      let sources = bench.values.permutation(count, 2).enumerated().map { place, source in
        place % 3 == 2 ? -1 : source
      }
      guard let backend = bench.backend as? any SamplingBackend else {
        return sources.enumerated().map {
          Float($0.element < 0 ? tokens[$0.offset] : sampled[Int($0.element)])
        }
      }
      let target = try bench.integers(tokens, Shape(count)).view
      try backend.feed(
        bench.integers(sampled, Shape(count)).view, sources: bench.integers(sources, Shape(count)).view,
        into: target)
      return try bench.readIntegers(target).map(Float.init)
    }
  }
}

extension Bench {
  /// A token, or −1 less the kind of failure; and what log-probabilities say, with ids and ranks.
  fileprivate struct Sampled {
    var token: Float
    var logprobs: [Float] = []

    init(_ result: Result<(token: Int32, logprobs: TokenLogprobs?), SamplingFailure>) {
      switch result {
      case .success(let found):
        token = Float(found.token)
        if let chosen = found.logprobs?.chosen { logprobs = [chosen.logprob, Float(chosen.rank)] }
        logprobs += (found.logprobs?.top ?? []).flatMap { [Float($0.token), $0.logprob] }
      case .failure(.notFinite(let broken)): token = -2 - Float(broken)
      // The sweep has no grammars.
      case .failure(.nothingAllowed), .failure(.grammar): token = -1
      }
    }
  }

  /// Samples each row at position 30.
  fileprivate func sampled(
    _ rows: [[Float]], _ states: [SamplingState], top: Int?
  ) throws(KernelError) -> [Sampled] {
    let count = rows[0].count
    guard let backend = backend as? any SamplingBackend else {
      var sampler = Sampler(vocabularySize: count)
      return zip(rows, states).map { row, state in
        unsafe row.withUnsafeBufferPointer { row in
          Sampled(
            Result { () throws(SamplingFailure) in
              let token = try unsafe sampler.sample(row, state, position: 30)
              let logprobs = try top.map { top throws(SamplingFailure) in
                try unsafe sampler.logprobs(row, token: token, top: top)
              }
              return (token, logprobs)
            })
        }
      }
    }
    let sampler = try backend.makeTokenSampler(
      SamplingCapacity(vocabularySize: count, rows: rows.count, sequences: rows.count, modelLength: 64))
    var batch = SamplingBatch(sampler.capacity)
    // Not in the order of the logits.
    for row in rows.indices.reversed()
    where !batch.add(states[row], row: row, position: 30, alternatives: top) {
      throw .unsupported(operation: "sample", reason: "the device leaves row \(row) to the host")
    }
    let logits = try floats(rows.flatMap { $0 }, Shape(rows.count, count))
    try sampler.enqueue(batch, logits: logits.view, inputs: nil)
    var results = SamplingResults()
    try sampler.collect(batch, into: &results)
    return rows.indices.map { row in
      Sampled(
        Result { () throws(SamplingFailure) in
          try results.token(at: rows.count - 1 - row)
        })
    }
  }

  /// All elements of an int32 view.
  fileprivate func readIntegers(_ view: TensorView) throws(KernelError) -> [Int32] {
    var found = [Int32](repeating: 0, count: view.shape.elementCount)
    try unsafe found.withUnsafeMutableBufferPointer { found throws(KernelError) in
      try unsafe backend.download(view, to: UnsafeMutableRawBufferPointer(found))
    }
    return found
  }
}

import CPUBackend
import Checkpoints
import Compute
import Models
import Numerics
import Scheduling
import TestSupport

/// Runs a model step by step with plans built by hand: each sequence has its own blocks for good.
final class ModelRunner {
  let graph: ModelGraph
  let cache: any KVCache
  /// Tokens of each sequence whose keys are in the cache.
  private(set) var sequences: [[Int32]] = []
  private let blocksPerSequence: Int
  /// Blocks of all sequences, in an order that leaves none beside its neighbour.
  private let blocks: [Int32]

  init(
    _ checkpoint: Checkpoint, sequences: Int = 1, maxTokens: Int = 256, modelLength: Int = 256,
    maxLogitRows: Int = 256, policy: KVRetention? = nil, quantization: LoadQuantization? = nil,
    backend: any Backend = CPUBackend(threads: 1)
  ) throws {
    var limits = ModelLimits(
      maxBatchTokens: maxTokens, maxSequences: sequences, maxModelLength: modelLength,
      maxLogitRows: maxLogitRows)
    limits.policy = policy
    limits.quantization = quantization
    graph = try ModelGraph(checkpoint: checkpoint, backend: backend, limits: limits)
    blocksPerSequence = (modelLength + 15) / 16
    let count = blocksPerSequence * sequences
    cache = try graph.makeKVCache(blockCount: count)
    var generator = SeededGenerator(seed: UInt64(count))
    blocks = (0..<Int32(count)).shuffled(using: &generator)
    self.sequences = Array(repeating: [], count: sequences)
  }

  convenience init(_ fixture: String, sequences: Int = 1, modelLength: Int = 256) throws {
    try self.init(
      try Checkpoint.open(Fixtures.path(fixture)), sequences: sequences, modelLength: modelLength)
  }

  var vocabulary: Int { graph.configuration.vocabularySize }

  /// The plan of one step that adds `tokens` to sequences; logits of all new tokens are wanted.
  func plan(_ work: [(sequence: Int, tokens: [Int32])]) -> StepPlan {
    var plan = StepPlan()
    plan.queryStarts = [0]
    plan.blockTableStride = blocksPerSequence
    // As the scheduler has it: what comes alone behind a prompt was sampled.
    plan.decodeCount = work.prefix { $0.tokens.count == 1 && !sequences[$0.sequence].isEmpty }.count
    for (sequence, tokens) in work {
      let table = blocks[(sequence * blocksPerSequence)..<((sequence + 1) * blocksPerSequence)]
      let start = sequences[sequence].count
      for (offset, token) in tokens.enumerated() {
        let position = start + offset
        plan.logitRows.append(Int32(plan.tokens.count))
        plan.tokens.append(token)
        plan.positions.append(Int32(position))
        plan.slots.append(table[table.startIndex + position / 16] * 16 + Int32(position % 16))
      }
      plan.queryStarts.append(Int32(plan.tokens.count))
      plan.contextLengths.append(Int32(start + tokens.count))
      plan.blockTables += table
    }
    return plan
  }

  /// Runs one step and gives the logits of its new tokens, one array a piece of work.
  ///
  /// - Parameter sources: `StepPlan.tokenSources`; the plan then has nothing but zeros for tokens that it names.
  func step(_ work: [(sequence: Int, tokens: [Int32])], sources: [Int32] = []) throws -> [[Float]] {
    var plan = plan(work)
    plan.tokenSources = sources
    for (index, source) in sources.enumerated() where source >= 0 { plan.tokens[index] = 0 }
    let rows = try read(try graph.forward(plan, cache: cache))
    var start = 0
    return work.map { sequence, tokens in
      sequences[sequence] += tokens
      defer { start += tokens.count * vocabulary }
      return Array(rows[start..<start + tokens.count * vocabulary])
    }
  }

  /// All logits of a fresh sequence, computed at once.
  func logits(_ tokens: [Int32], sequence: Int = 0) throws -> [Float] {
    sequences[sequence] = []
    return try step([(sequence, tokens)])[0]
  }

  func greedy(_ prompt: [Int32], count: Int) throws -> [Int32] {
    var last = try logits(prompt).suffix(vocabulary)
    var output: [Int32] = []
    while true {
      output.append(Int32(Self.argmax(last)))
      if output.count == count { return output }
      last = try step([(0, [output[output.count - 1]])])[0][...]
    }
  }

  func read(_ view: TensorView) throws -> [Float] {
    var values = [Float](repeating: 0, count: view.shape.elementCount)
    try unsafe values.withUnsafeMutableBytes { bytes in try unsafe graph.backend.download(view, to: bytes) }
    return values
  }

  /// The place of the greatest element, the first of equals.
  static func argmax(_ values: ArraySlice<Float>) -> Int {
    unsafe values.withUnsafeBufferPointer { values in
      var best = 0
      for index in 1..<values.count where unsafe values[index] > values[best] { best = index }
      return best
    }
  }
}

/// How far logits are from their reference.
struct Deviation {
  /// Greatest absolute difference over greatest absolute reference.
  var relative: Float = 0
  /// Positions whose argmax differs.
  var differingArgmax: [Int] = []

  init(_ found: [Float], _ reference: [Float], vocabulary: Int) {
    guard found.count == reference.count else {
      relative = .infinity
      return
    }
    var difference: Float = 0
    var scale: Float = 0
    for (found, reference) in zip(found, reference) {
      difference = max(difference, found.isFinite ? abs(found - reference) : .infinity)
      scale = max(scale, abs(reference))
    }
    relative = difference / scale
    for row in 0..<found.count / vocabulary {
      let range = row * vocabulary..<(row + 1) * vocabulary
      if ModelRunner.argmax(found[range]) != ModelRunner.argmax(reference[range]) {
        differingArgmax.append(row)
      }
    }
  }
}

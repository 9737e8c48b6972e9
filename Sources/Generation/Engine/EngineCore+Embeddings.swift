internal import Compute
internal import Scheduling

/// The states of a prompt on their way to one vector, piece by piece as the steps compute them.
struct EmbeddingPool: Sendable {
  private let pooling: EmbeddingPooling
  private let promptCount: Int
  /// Positions that were taken; a preempted prompt may come again from its start.
  private var taken = 0
  private var sum: [Double] = []

  init(_ pooling: EmbeddingPooling, promptCount: Int) {
    self.pooling = pooling
    self.promptCount = promptCount
  }

  /// Which of these positions are still to be taken.
  func wanted(_ positions: Range<Int>) -> Range<Int> {
    switch pooling {
    case .mean: max(positions.lowerBound, taken)..<max(positions.upperBound, taken)
    case .last:
      positions.contains(promptCount - 1)
        ? promptCount - 1..<promptCount : positions.upperBound..<positions.upperBound
    }
  }

  /// - Parameter states: `[positions.count, H]`, of wanted positions.
  mutating func take(_ states: [Float], _ positions: Range<Int>) {
    guard !positions.isEmpty else { return }
    let width = states.count / positions.count
    if pooling == .last || sum.isEmpty { sum = Array(repeating: 0, count: width) }
    for row in 0..<positions.count {
      for column in 0..<width { sum[column] += Double(states[row * width + column]) }
    }
    taken = positions.upperBound
  }

  var vector: [Float] {
    let count = pooling == .mean ? Double(max(taken, 1)) : 1
    return sum.map { Float($0 / count) }
  }
}

extension EngineCore {
  /// Takes the states that requests for embeddings want of the step that was computed, or launched, last. Others cost
  /// nothing here.
  func poolStates(_ work: StepWork) throws(EngineFailure) {
    for entry in work.plan.entries where !entry.samples {
      guard let request = live(entry.id)?.request, let pool = request.pool else { continue }
      let start = Int(work.plan.positions[entry.tokenStart])
      let wanted = pool.wanted(start..<start + entry.tokenCount)
      if wanted.isEmpty { continue }
      let rows = entry.tokenStart + wanted.lowerBound - start..<entry.tokenStart + wanted.upperBound - start
      let states: [Float]
      do throws(KernelError) { states = try model.states(of: rows) } catch { throw .model(error) }
      request.pool?.take(states, wanted)
    }
  }
}

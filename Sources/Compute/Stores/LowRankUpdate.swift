internal import Numerics

/// What a LoRA adapter adds to one linear layer, as it was read: `output += scale · (input · downᵀ) · upᵀ`.
package struct LowRankUpdate {
  /// float32 `[r, K]`
  package var down: Tensor
  /// float32 `[N, r]`
  package var up: Tensor
  package var scale: Float

  package init(down: Tensor, up: Tensor, scale: Float) {
    self.down = down
    self.up = up
    self.scale = scale
  }

  package var rank: Int { down.shape[0] }

  package func check(_ checks: OperandChecks) throws(KernelError) {
    try checks.type(down.view, "down", [.float32])
    try checks.type(up.view, "up", [.float32])
    try checks.require(up.shape[1] == rank, "a rank of \(up.shape[1]) and of \(rank)")
  }
}

/// The updates of linear layers that read the same input (q_proj, k_proj and v_proj), as one backend placed them.
///
/// ```
///          r of q_proj   of k_proj   of v_proj
/// down   [ ………………………… | ……………… | ……………… ]   rows of one matrix: a product gives all that goes through the ranks
/// members    ranks 0..<16    16..<32    32..<48    each with its own second matrix and output
/// ```
package final class LowRankGroup {
  package struct Member {
    /// Which of the outputs.
    package let target: Int
    /// Its rows of `down`.
    package let ranks: Range<Int>
    /// As the backend reads it.
    package let up: LinearWeight
    package let scale: Float

    package init(target: Int, ranks: Range<Int>, up: LinearWeight, scale: Float) {
      self.target = target
      self.ranks = ranks
      self.up = up
      self.scale = scale
    }
  }

  /// `[Σ r, K]`
  package let down: LinearWeight
  package let members: [Member]

  package init(down: LinearWeight, members: [Member]) {
    self.down = down
    self.members = members
  }

  /// The first matrices one below the other, the rows of each filled up with zeros to a multiple of `unit`; and which rows each
  /// has.
  ///
  /// - Throws: for no matrix, matrices that read inputs of different widths, and those that do not fit each other.
  package static func stacked(
    _ updates: [LowRankUpdate], unit: Int = 1, _ checks: OperandChecks
  ) throws(KernelError) -> (down: Tensor, ranks: [Range<Int>]) {
    var ranks: [Range<Int>] = []
    try checks.require(!updates.isEmpty, "no update at all")
    for update in updates {
      try update.check(checks)
      try checks.matrix(
        update.down.view, "down", columns: updates[0].down.shape[1], types: [.float32])
      let start = ranks.last?.upperBound ?? 0
      ranks.append(start..<start + (update.rank + unit - 1) / unit * unit)
    }
    let inputs = updates[0].down.shape[1]
    let stack = unsafe HostTensor.make(.float32, Shape(ranks.last?.upperBound ?? 0, inputs)) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      unsafe values.update(repeating: 0)
      for (update, rows) in zip(updates, ranks) {
        let source = unsafe update.down.view.address.assumingMemoryBound(to: Float.self)
        for index in 0..<update.rank * inputs {
          unsafe values[rows.lowerBound * inputs + index] = source[index]
        }
      }
    }
    return (stack, ranks)
  }
}

/// Rows of a step that have one adapter.
package struct LowRankRun {
  package var group: LowRankGroup
  package var rows: Range<Int>

  package init(_ group: LowRankGroup, rows: Range<Int>) {
    self.group = group
    self.rows = rows
  }

  /// - Throws: for rows that the operands do not have, and ranks that `shrunk` has no columns for.
  package func check(
    _ checks: OperandChecks, of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError) {
    try checks.require(
      rows.lowerBound >= 0 && rows.upperBound <= input.rows && group.down.outputs <= shrunk.columns
        && shrunk.rows >= rows.upperBound,
      "rows \(rows) of \(input.rows) with ranks of \(group.down.outputs) through \(shrunk.columns) columns")
    for member in group.members where !outputs.indices.contains(member.target) {
      try checks.require(false, "output \(member.target) of \(outputs.count)")
    }
  }
}

extension Backend {
  /// Where the products of a run are products like any other: the scale goes into `up`, in float32.
  package func place(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup {
    let given = updates.compactMap { $0 }
    let (down, ranks) = try LowRankGroup.stacked(given, OperandChecks("place"))
    var members: [LowRankGroup.Member] = []
    for (target, update) in updates.enumerated() {
      guard let update else { continue }
      let scaled = unsafe HostTensor.make(.float32, update.up.shape) { bytes in
        let values = unsafe bytes.bindMemory(to: Float.self)
        let source = unsafe update.up.view.address.assumingMemoryBound(to: Float.self)
        for index in values.indices { unsafe values[index] = source[index] * update.scale }
      }
      members.append(
        LowRankGroup.Member(
          target: target, ranks: ranks[members.count], up: try place(LinearWeight(dense: scaled)), scale: 1))
    }
    return LowRankGroup(down: try place(LinearWeight(dense: down)), members: members)
  }

  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError) {
    for run in runs {
      try run.check(OperandChecks("addLowRank"), of: input, through: shrunk, to: outputs)
      let part = shrunk.rows(run.rows).columns(0..<run.group.down.outputs)
      try linear(input.rows(run.rows), run.group.down, accumulate: false, into: part)
      for member in run.group.members {
        try linear(
          part.columns(member.ranks), member.up, accumulate: true, into: outputs[member.target].rows(run.rows)
        )
      }
    }
  }
}

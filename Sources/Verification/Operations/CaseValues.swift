internal import Generation
internal import Numerics

/// Operands of a case: a pure function of a seed and an element's place, the same on every machine.
///
/// Real operands are cut from a table whose length is a prime: no row, head or tile of a case repeats another, and a
/// case of millions of elements costs a copy.
struct CaseValues {
  let seed: UInt64
  private let normals: [Float]
  private let steps: [Float]

  private static let period = 8191

  init(seed: UInt64) {
    self.seed = seed
    var normals: [Float] = []
    var steps: [Float] = []
    for index in 0..<UInt32(Self.period) {
      let block = Philox.block(counter: Philox.Block(index, 0, 1, 0), key: seed)
      var sum: Float = 0
      for word: UInt32 in 0..<4 { sum += Float(block[word] >> 8) * 0x1p-24 - 0.5 }
      // Four uniform numbers of variance 1/12 each.
      normals.append(sum * 1.7320508)
      steps.append((Float(block[0] % 63) - 31) / 8)
    }
    self.normals = normals
    self.steps = steps
  }

  /// About normal (a sum of four uniform numbers), with standard deviation `deviation`, rounded to `type`.
  func normal(_ count: Int, _ stream: UInt32, deviation: Float = 1, _ type: DataType) -> [Float] {
    cut(normals.map { type.rounding($0 * deviation) }, count, stream)
  }

  /// Multiples of 1/8 in -3.875...3.875: sums of two are exact in every float type.
  func eighths(_ count: Int, _ stream: UInt32) -> [Float] { cut(steps, count, stream) }

  private func cut(_ table: [Float], _ count: Int, _ stream: UInt32) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(count)
    // Streams start far apart.
    var start = Int(stream) * 1237 % Self.period
    while values.count < count {
      let end = min(start + count - values.count, Self.period)
      values += table[start..<end]
      start = 0
    }
    return values
  }

  /// Integers in `0..<limit`.
  func integers(_ count: Int, _ stream: UInt32, below limit: Int) -> [Int32] {
    (0..<count).map { index in
      Int32(block(index, stream)[1] % UInt32(max(1, limit)))
    }
  }

  /// `0..<count` in an order without neighbours (Fisher and Yates).
  func permutation(_ count: Int, _ stream: UInt32) -> [Int32] {
    var order = (0..<Int32(count)).map { $0 }
    for index in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(index, Int(block(index, stream)[2] % UInt32(index + 1)))
    }
    return order
  }

  private func block(_ index: Int, _ stream: UInt32) -> Philox.Block {
    Philox.block(counter: Philox.Block(UInt32(truncatingIfNeeded: index), stream, 0, 0), key: seed)
  }
}

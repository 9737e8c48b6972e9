/// Bits for each layer under a budget of bytes: from the fewest bits up, always where a byte saves most error.
package enum BitAllocation {
  package struct Candidate: Sendable, Equatable {
    package var bits: Int
    package var bytes: Int
    /// What rounding to so many bits costs, in the same unit for all layers.
    package var loss: Double

    package init(bits: Int, bytes: Int, loss: Double) {
      self.bits = bits
      self.bytes = bytes
      self.loss = loss
    }
  }

  package enum Problem: Error, Equatable, Sendable, CustomStringConvertible {
    case tooSmall(budget: Int, needed: Int)

    package var description: String {
      switch self {
      case .tooSmall(let budget, let needed):
        "a budget of \(budget) bytes is too small: the fewest bits allowed need \(needed)"
      }
    }
  }

  /// The place in each layer's candidates, which are sorted by bytes.
  ///
  /// Greedy by loss saved a byte; on the convex loss curves of rounding that is within one upgrade of the optimum.
  package static func choose(_ layers: [[Candidate]], budget: Int) throws(Problem) -> [Int] {
    var chosen = layers.map { _ in 0 }
    var bytes = layers.reduce(0) { $0 + ($1.first?.bytes ?? 0) }
    guard bytes <= budget else { throw .tooSmall(budget: budget, needed: bytes) }
    while true {
      var best: (layer: Int, place: Int, gain: Double)?
      for (layer, candidates) in layers.enumerated() {
        let present = candidates[chosen[layer]]
        // Further steps too: the next one may not pay while the one after it does.
        for place in candidates.indices.dropFirst(chosen[layer] + 1) {
          let more = candidates[place].bytes - present.bytes
          guard more > 0, bytes + more <= budget else { continue }
          let gain = (present.loss - candidates[place].loss) / Double(more)
          if gain > best?.gain ?? 0 { best = (layer, place, gain) }
        }
      }
      guard let best else { return chosen }
      bytes += layers[best.layer][best.place].bytes - layers[best.layer][chosen[best.layer]].bytes
      chosen[best.layer] = best.place
    }
  }
}

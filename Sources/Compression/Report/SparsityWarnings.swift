internal import JSON

/// What a pattern of zeros costs and gains (the review's warning about irregular sparsity, with this model's figures).
extension CompressionReport {
  func sparsityWarnings(_ sparsity: Sparsity) -> [String] {
    var warnings: [String] = []
    let bits = summary.averageBits.map { Self.fixed($0, 3) } ?? "?"
    switch sparsity {
    case .pattern(keep: 2, of: 4): warnings += twoOfFourWarnings
    case .pattern:
      warnings.append(
        "\(sparsity.text) has no tensor-core instruction: it saves memory (\(bits) bits a weight) but no GPU time"
      )
    case .unstructured:
      warnings.append(
        "unstructured zeros save memory (\(bits) bits a weight, all included) but no GPU time: tensor cores "
          + "multiply by them as by any weight")
    }
    if let ratio = quality?["perplexity_ratio"]?.double, ratio > 1 {
      warnings.append(
        "\(sparsity.text) without tuning costs \(Self.fixed((ratio - 1) * 100, 1)) % of perplexity on this model"
      )
    }
    return warnings
  }

  private var twoOfFourWarnings: [String] {
    guard summary.format != .dense,
      let widest = summary.compressed.max(by: { $0.outputs * $0.inputs < $1.outputs * $1.inputs })
    else { return [] }
    let gains = [1, 64, 1024].map { rows in
      let gain = SparseFloor.h200.gain(
        rows: rows, outputs: widest.outputs, inputs: widest.inputs, denseBits: denseBits,
        sparseBits: summary.averageBits ?? 9)
      return "\(Self.fixed(gain, 2)) at \(rows) rows"
    }
    return [
      "2:4 by the floors of an H200 (bytes and multiplications, nothing measured) would make "
        + "[\(widest.outputs), \(widest.inputs)] faster by \(gains.joined(separator: ", "))"
    ]
  }

  /// Of the same layers without zeros left out.
  private var denseBits: Double {
    guard let bits = summary.recipe.scheme.bits else { return 16 }
    return Double(bits) + (summary.recipe.scheme.groupSize.map { 16 / Double($0) } ?? 0)
  }
}

/// How long a product takes at least on a GPU: the slower of reading the weight and multiplying.
package struct SparseFloor: Sendable {
  /// Bytes a second.
  package let bandwidth: Double
  /// Multiplications and additions a second of dense 16-bit products.
  package let operations: Double
  /// How many times as many a second of 2:4 products.
  package let sparseFactor: Double

  /// Bandwidth and dense rate as measured by others on random data; 1.3 is what 2:4 kernels were seen to reach of the
  /// instruction's 2 (power limits both).
  package static let h200 = SparseFloor(bandwidth: 4.3e12, operations: 790e12, sparseFactor: 1.3)

  package func gain(
    rows: Int, outputs: Int, inputs: Int, denseBits: Double, sparseBits: Double
  ) -> Double {
    let weights = Double(outputs) * Double(inputs)
    let work = 2 * Double(rows) * weights / operations
    let dense = Swift.max(weights * denseBits / 8 / bandwidth, work)
    return dense / Swift.max(weights * sparseBits / 8 / bandwidth, work / sparseFactor)
  }
}

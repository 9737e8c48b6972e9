internal import Checkpoints
internal import JSON
internal import KernelBackend

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
    let kernels = KernelLibrary.emulated
    return kernels.figures.enumerated().filter { Self.reportedDevices.contains($0.element.name) }.map {
      index, figures in
      let gains = [1, 64, 1024].map { rows in
        let floors = kernels.sparseFloors(
          index, rows: rows, outputs: widest.outputs, inputs: widest.inputs, denseBits: denseBits,
          sparseBits: summary.averageBits ?? 9)
        let kernel = floors.expands ? ", written out as a dense matrix," : ""
        return "\(Self.fixed(floors.gain, 2))\(kernel) at \(rows) rows"
      }
      return
        "2:4 on an \(figures.name) would make [\(widest.outputs), \(widest.inputs)] faster by "
        + gains.joined(separator: ", ") + " (floors of bytes and multiplications, nothing measured)"
    }
  }

  /// One of each generation; `gpuinfer doctor` has them all.
  private static let reportedDevices = ["H200", "A100", "RTX 4090"]

  /// Of the same layers without zeros left out.
  private var denseBits: Double {
    guard let bits = summary.recipe.scheme.bits else { return 16 }
    return Double(bits) + (summary.recipe.scheme.groupSize.map { 16 / Double($0) } ?? 0)
  }
}

internal import CPUBackend
internal import Compute

extension CompressionMethod {
  /// ZeroQuant (arXiv 2206.01861): int8 weights with a scale a group, activations rounded token by token; no data.
  ///
  /// Groups are runs of inputs of one output; the authors' runs over the flattened matrix are coarser.
  static let zeroQuant = CompressionMethod(
    name: "zeroquant", summary: "int8 groups and token-wise activations, no calibration", need: .nothing,
    defaults: { recipe in
      recipe.scheme = LayerScheme(
        bits: 8, groupSize: 128, convention: .symmetricFull, activations: .token)
    }
  ) { problem, options, backend in
    try Rounding.solve(problem, options, backend, method: "zeroquant")
  }

  /// ZeroQuant-V2 (arXiv 2303.08302): fine groups, and a low-rank correction of what rounding lost (LoRC).
  static let zeroQuantV2 = CompressionMethod(
    name: "zeroquant-v2", summary: "rounding with a low-rank correction of its error", need: .nothing,
    defaults: { $0.options.rank = 8 }
  ) { problem, options, backend in
    if problem.statistics?.gram != nil {
      return try GPTQ.solve(problem, options, backend)
    }
    return try Rounding.solve(problem, options, backend, method: "zeroquant-v2")
  }

  /// LLM.int8() (arXiv 2208.07339): int8 by row and token, activations above the threshold left out of the rounding.
  static let llmInt8 = CompressionMethod(
    name: "llm.int8", summary: "int8 with outlying activations in full precision, no calibration",
    need: .nothing,
    defaults: { recipe in
      recipe.scheme = LayerScheme(
        bits: 8, groupSize: nil, convention: .symmetricNarrow, activations: .token)
      recipe.options.outlierThreshold = 6
    }
  ) { problem, options, backend in
    try Rounding.solve(problem, options, backend, method: "llm.int8")
  }
}

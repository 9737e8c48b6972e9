package import CPUBackend
package import Checkpoints
package import Compute
package import Models
package import Numerics

/// The weights of one layer in float32, in the checkpoint's row order, while they are being changed.
package final class LayerWeights {
  package let sites: [LinearSite]
  package private(set) var linears: [LinearSite.Role: Matrix] = [:]
  package private(set) var biases: [LinearSite.Role: [Float]] = [:]
  package private(set) var norms: [ModelGraph.LayerNorm: (weight: [Float], bias: [Float]?)] = [:]
  /// Whose stored tensors no longer are what the checkpoint has.
  package private(set) var changedBiases: Set<LinearSite.Role> = []
  package private(set) var changedNorms: Set<ModelGraph.LayerNorm> = []

  /// Reads one layer.
  ///
  /// - Throws: a tensor that cannot be read, or holds a NaN or an infinity.
  package init(
    _ sites: [LinearSite], norms: (attention: String, feedForward: String), checkpoint: Checkpoint,
    decoder: DecoderDescription
  ) throws {
    self.sites = sites
    for site in sites {
      let raw = try checkpoint.rawTensor(site.module + ".weight")
      let matrix = Matrix(rows: raw.shape[0], columns: raw.shape[1])
      unsafe raw.copyFloats(into: matrix.elements)
      guard matrix.isFinite else {
        throw MethodError.notFinite(module: site.module, what: "the weight")
      }
      linears[site.role] = decoder.weightOrder == .inputsFirst ? matrix.transposed() : matrix
      if site.hasBias { biases[site.role] = try checkpoint.rawTensor(site.module + ".bias").floats() }
    }
    for (norm, module) in [
      (ModelGraph.LayerNorm.attention, norms.attention), (.feedForward, norms.feedForward),
    ] {
      self.norms[norm] = (
        try checkpoint.rawTensor(module + ".weight").floats(),
        decoder.norm.kind == .layer ? try checkpoint.rawTensor(module + ".bias").floats() : nil
      )
    }
  }

  /// Divides the producer's channels by `factors` and multiplies the consumers' columns by them.
  package func apply(_ fold: Fold, _ factors: [Float]) {
    precondition(factors.allSatisfy { $0 > 0 && $0.isFinite }, "factors are positive")
    for role in fold.consumers { linears[role]?.scaleColumns(by: factors) }
    switch fold.producer {
    case .norm(let norm):
      guard var entry = norms[norm] else { return }
      entry.weight = zip(entry.weight, factors).map { $0 / $1 }
      entry.bias = entry.bias.map { zip($0, factors).map { $0 / $1 } }
      norms[norm] = entry
      changedNorms.insert(norm)
    case .rows(let role, let rows):
      guard let matrix = linears[role] else { return }
      for (channel, row) in rows.enumerated() {
        for column in 0..<matrix.columns { matrix[row, column] /= factors[channel] }
        biases[role]?[row] /= factors[channel]
      }
      if biases[role] != nil { changedBiases.insert(role) }
    }
  }

  /// Rounds what is stored as it is (norms and biases) to its type in the file, so that what is calibrated is what is
  /// written.
  package func roundVectors(to type: DataType) {
    func round(_ values: [Float]) -> [Float] {
      switch type {
      case .float16: values.map { Float(Float16($0)) }
      case .bfloat16: values.map { BFloat16($0).float }
      default: values
      }
    }
    for norm in changedNorms {
      guard let entry = norms[norm] else { continue }
      norms[norm] = (round(entry.weight), entry.bias.map(round))
    }
    for role in changedBiases { biases[role] = biases[role].map(round) }
  }

  /// Puts the present weights of these layers, or `values` for them, and all norms into the graph.
  package func install(
    _ roles: [LinearSite.Role], values: [LinearSite.Role: Matrix] = [:], in graph: ModelGraph
  ) throws(KernelError) {
    for site in sites where roles.contains(site.role) {
      guard let matrix = values[site.role] ?? linears[site.role] else { continue }
      try graph.replace(
        site, weight: matrix.tensor(.float32), bias: biases[site.role].map { HostTensor.floats($0) })
    }
    guard let layer = sites.first?.layer else { return }
    for norm in changedNorms {
      guard let entry = norms[norm] else { continue }
      try graph.replace(
        norm, layer: layer, weight: HostTensor.floats(entry.weight),
        bias: entry.bias.map { HostTensor.floats($0) })
    }
  }
}

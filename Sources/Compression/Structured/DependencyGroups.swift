package import Models

/// Rows and columns of a layer's matrices that only make sense together: taken out as one, what is left is a smaller
/// layer of the same kind.
package struct DependencyGroup: Sendable, Equatable {
  package struct Part: Sendable, Equatable {
    package let role: LinearSite.Role
    package let indices: [Int]
  }

  /// Outputs that go, with their biases.
  package let rows: [Part]
  /// Inputs that go: of the one layer that reads those outputs.
  package let columns: Part
}

/// The groups of a family, derived from its description: the one place that knows about grouped queries and fused
/// projections.
package struct DependencyGroups: Sendable {
  /// One a key/value head, with all query heads that share it.
  package let heads: [DependencyGroup]
  /// One a feed-forward channel.
  package let channels: [DependencyGroup]

  package init(_ configuration: ModelConfiguration) {
    let (dimension, shared) = (
      configuration.headDimension, configuration.queryHeads / configuration.keyValueHeads
    )
    heads = (0..<configuration.keyValueHeads).map { head in
      let queries = head * shared * dimension..<(head + 1) * shared * dimension
      let keys = head * dimension..<(head + 1) * dimension
      let rows: [DependencyGroup.Part]
      switch configuration.decoder.attention {
      case .separate:
        rows = [
          .init(role: .query, indices: Array(queries)), .init(role: .key, indices: Array(keys)),
          .init(role: .value, indices: Array(keys)),
        ]
      case .fused(_, .stacked):
        let (first, second) = (
          configuration.queryWidth, configuration.queryWidth + configuration.keyValueWidth
        )
        rows = [
          .init(
            role: .queryKeyValue, indices: Array(queries) + keys.map { $0 + first } + keys.map { $0 + second }
          )
        ]
      case .fused(_, .perHead):
        rows = [.init(role: .queryKeyValue, indices: Array(3 * keys.lowerBound..<3 * keys.upperBound))]
      }
      return DependencyGroup(rows: rows, columns: .init(role: .attentionOutput, indices: Array(queries)))
    }
    var makers: [LinearSite.Role] = [.up]
    if case .gated = configuration.decoder.feedForward { makers = [.gate, .up] }
    channels = (0..<configuration.intermediateSize).map { channel in
      DependencyGroup(
        rows: makers.map { .init(role: $0, indices: [channel]) },
        columns: .init(role: .down, indices: [channel]))
    }
  }
}

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

/// Where the components of the residual stream are in a model. They go together as the rows and columns of a
/// `DependencyGroup` do, but all over the model, and every component in the same places.
package struct StreamGroup: Sendable, Equatable {
  /// Of every layer: what has components for outputs, biases included.
  package let writers: [LinearSite.Role]
  /// Of every layer: what has them for inputs.
  package let readers: [LinearSite.Role]
  /// Modules outside of the layers that write them, `[rows, components]`.
  package let tables: [String]
  /// The module outside of the layers that reads them; nil where the first table is read once more (tied embeddings), so
  /// that what is cut there is cut for both.
  package let output: String?
  /// Norms outside of the layers, with one element a component, as both norms of every layer have.
  package let norms: [String]
}

/// The groups of a family, derived from its description: the one place that knows about grouped queries, fused
/// projections and tied embeddings.
package struct DependencyGroups: Sendable {
  /// One a key/value head, with all query heads that share it.
  package let heads: [DependencyGroup]
  /// One a feed-forward channel.
  package let channels: [DependencyGroup]
  /// One for all components of the residual stream.
  package let stream: StreamGroup
  /// Query heads that read one key/value head.
  private let sharedHeads: Int

  package init(_ configuration: ModelConfiguration) {
    let (dimension, shared) = (
      configuration.headDimension, configuration.queryHeads / configuration.keyValueHeads
    )
    sharedHeads = shared
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
    stream = Self.stream(configuration.decoder, readers: heads.first?.rows.map(\.role) ?? [], makers)
  }

  /// The query heads of some groups of `heads`: places in what has one element a query head.
  package func queryHeads(of kept: [Int]) -> [Int] {
    kept.flatMap { $0 * sharedHeads..<($0 + 1) * sharedHeads }
  }

  private static func stream(
    _ decoder: DecoderDescription, readers attention: [LinearSite.Role], _ makers: [LinearSite.Role]
  ) -> StreamGroup {
    var tables = [decoder.tokenEmbedding]
    if case .learned(let table) = decoder.positions { tables.append(table) }
    return StreamGroup(
      writers: [.attentionOutput, .down], readers: attention + makers, tables: tables,
      output: decoder.tiesEmbeddings ? nil : decoder.output.first,
      norms: (decoder.embeddingNorm.map { [$0] } ?? []) + [decoder.finalNorm])
  }
}

internal import Compute
package import Models

/// Where a factor for each input channel of some linear layers may come from: divided out of what produces the
/// channels, multiplied into the columns of all that read them, the model computes the same.
package struct Fold: Sendable, Equatable {
  package enum Producer: Sendable, Equatable {
    /// Gain (and bias) of a norm.
    case norm(ModelGraph.LayerNorm)
    /// Rows (and bias) of a linear layer: `rows[channel]` makes channel `channel`.
    case rows(LinearSite.Role, rows: [Int])
  }

  package let producer: Producer
  /// All that read the channels, in the order of computation.
  package let consumers: [LinearSite.Role]
}

/// The folds that leave a family's outputs unchanged, and why the others do not. Derived from the family's
/// description, so a new family brings its own.
package struct FoldMap: Sendable {
  package let folds: [Fold]
  /// Layers whose inputs nothing may be folded into, with the reason.
  package let refused: [LinearSite.Role: String]

  package init(_ configuration: ModelConfiguration) {
    let decoder = configuration.decoder
    var folds: [Fold] = []
    var refused: [LinearSite.Role: String] = [:]
    let attentionReaders: [LinearSite.Role]
    switch decoder.attention {
    case .separate: attentionReaders = [.query, .key, .value]
    case .fused: attentionReaders = [.queryKeyValue]
    }
    folds.append(Fold(producer: .norm(.attention), consumers: attentionReaders))

    if configuration.queryHeads == configuration.keyValueHeads {
      folds.append(
        Fold(producer: Self.valueRows(configuration), consumers: [.attentionOutput]))
    } else {
      refused[.attentionOutput] =
        "\(configuration.queryHeads) query heads share \(configuration.keyValueHeads) value heads, so a channel of the "
        + "output projection has no value channel of its own"
    }

    // Folds are the same for every layer.
    let inner = configuration.hasLayersOfDifferentWidths ? nil : Array(0..<configuration.intermediateSize)
    switch decoder.feedForward {
    case .gated:
      folds.append(Fold(producer: .norm(.feedForward), consumers: [.gate, .up]))
      // down(act(gate) ⊙ up): up enters linearly.
      if let inner { folds.append(Fold(producer: .rows(.up, rows: inner), consumers: [.down])) }
    case .plain:
      folds.append(Fold(producer: .norm(.feedForward), consumers: [.up]))
      if decoder.activation == .relu, let inner {
        folds.append(Fold(producer: .rows(.up, rows: inner), consumers: [.down]))
      } else {
        refused[.down] = "a positive factor does not pass through \(decoder.activation.rawValue)"
      }
    }
    if inner == nil { refused[.down] = "layers of different widths" }
    self.folds = folds
    self.refused = refused
  }

  private static func valueRows(_ configuration: ModelConfiguration) -> Fold.Producer {
    let (width, head) = (configuration.queryWidth, configuration.headDimension)
    switch configuration.decoder.attention {
    case .separate: return .rows(.value, rows: Array(0..<width))
    case .fused(_, .stacked): return .rows(.queryKeyValue, rows: (0..<width).map { 2 * width + $0 })
    case .fused(_, .perHead):
      return .rows(
        .queryKeyValue, rows: (0..<width).map { $0 / head * 3 * head + 2 * head + $0 % head })
    }
  }
}

/// The numbers of a decoder, all checked, with the description of its family.
///
/// Read from `config.json` by `ModelRegistry.configuration(from:)`.
package struct ModelConfiguration: Sendable, Equatable {
  /// The family's name in the registry.
  package var family: String
  package var vocabularySize: Int
  package var hiddenSize: Int
  /// Feed-forward channels of a layer; the most of any where they differ.
  package var intermediateSize: Int
  /// Heads of a layer; the most of any where they differ.
  package var queryHeads: Int
  package var keyValueHeads: Int
  package var headDimension: Int
  /// The positions the model was made for, as its configuration states them.
  package var maxPositions: Int
  package var layers: [Layer]
  package var decoder: DecoderDescription

  /// What may differ from layer to layer.
  package struct Layer: Sendable, Equatable {
    /// A query sees only the last `window` positions, itself included.
    package var window: Int?
    /// Feed-forward channels, where structured pruning left layers of different widths; nil for the model's.
    package var intermediateSize: Int?
    /// Key/value heads, likewise; each has as many query heads as in other layers.
    package var keyValueHeads: Int?
    /// Multiplies the dot products of query and key.
    package var attentionScale: Float

    /// No window, and scores scaled by `1 / √headDimension`.
    package init(headDimension: Int) {
      attentionScale = Float(1 / Double(headDimension).squareRoot())
    }
  }

  package func intermediateSize(of layer: Int) -> Int { layers[layer].intermediateSize ?? intermediateSize }

  package func keyValueHeads(of layer: Int) -> Int { layers[layer].keyValueHeads ?? keyValueHeads }

  package func queryHeads(of layer: Int) -> Int {
    queryHeads / keyValueHeads * keyValueHeads(of: layer)
  }

  package var hasLayersOfDifferentWidths: Bool {
    layers.contains { $0.intermediateSize != nil || $0.keyValueHeads != nil }
  }

  package var queryWidth: Int { queryHeads * headDimension }
  package var keyValueWidth: Int { keyValueHeads * headDimension }

  package func queryWidth(of layer: Int) -> Int { queryHeads(of: layer) * headDimension }
  package func keyValueWidth(of layer: Int) -> Int { keyValueHeads(of: layer) * headDimension }

  /// The longest sequence to serve when the user names none: `maxPositions`, stretched by the rope scaling where
  /// the configuration states the length before stretching (the rule vLLM users know).
  package var defaultModelLength: Int {
    guard case .rope(let rope) = decoder.positions else { return maxPositions }
    return rope.stretchedLength(of: maxPositions)
  }

  /// The longest sequence that can be served at all; nil where positions have no table of their own.
  package var hardPositionLimit: Int? {
    if case .learned = decoder.positions { maxPositions } else { nil }
  }
}

/// The ranges that keep a hostile configuration from overflowing sizes computed from it. Each is far above any
/// published model.
package enum ConfigurationRange {
  package static let vocabulary = 1...(1 << 24)
  package static let hidden = 1...(1 << 18)
  package static let intermediate = 1...(1 << 20)
  package static let layers = 1...4096
  package static let heads = 1...4096
  package static let headDimension = 1...1024
  package static let positions = 1...(1 << 28)
  /// Norm epsilons; a float32 square root of zero variance plus this must be above zero.
  package static let epsilon = 1e-30...1.0
}

extension ConfigurationReader {
  /// The head counts and dimension of an attention with `hiddenSize`, checked against each other.
  ///
  /// - Parameter keyValueHeads: nil for as many as query heads.
  package func heads(
    query: Int, keyValue: Int?, dimension: Int?, hiddenSize: Int, names: HeadNames
  ) throws(ModelError) -> (keyValue: Int, dimension: Int) {
    let keyValue = keyValue ?? query
    guard keyValue <= query, query % keyValue == 0 else {
      throw conflict(
        names.query, names.keyValue,
        reason: "\(query) query heads cannot share \(keyValue) key/value heads evenly")
    }
    if let dimension { return (keyValue, dimension) }
    guard hiddenSize % query == 0 else {
      throw conflict(
        names.hidden, names.query,
        reason: "\(hiddenSize) components cannot be split into \(query) equal heads")
    }
    let dimension = hiddenSize / query
    guard ConfigurationRange.headDimension.contains(dimension) else {
      throw conflict(
        names.hidden, names.query,
        reason:
          "heads of \(dimension) components; at most \(ConfigurationRange.headDimension.upperBound) are supported"
      )
    }
    return (keyValue, dimension)
  }

  /// The field names that messages about heads use.
  package struct HeadNames {
    package var hidden = "hidden_size"
    package var query = "num_attention_heads"
    package var keyValue = "num_key_value_heads"

    package init(hidden: String = "hidden_size", query: String = "num_attention_heads") {
      self.hidden = hidden
      self.query = query
    }
  }
}

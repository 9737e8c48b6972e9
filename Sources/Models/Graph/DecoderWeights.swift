internal import Checkpoints
internal import Compute
internal import Numerics

struct NormWeights {
  let kind: NormParameters.Kind
  let epsilon: Float
  /// float32 `[H]`.
  let weight: Tensor
  let bias: Tensor?

  var parameters: NormParameters {
    NormParameters(kind: kind, weight: weight.view, bias: bias?.view, epsilon: epsilon)
  }
}

/// Every weight of a decoder, placed on its backend.
struct DecoderWeights {
  /// `[V, H]`.
  let tokenEmbedding: Tensor
  /// `[maxPositions, H]`.
  let positionEmbedding: Tensor?
  let embeddingNorm: NormWeights?
  let layers: [Layer]
  let finalNorm: NormWeights
  /// `[V, H]`; the token embedding's own memory when they are tied.
  let output: LinearWeight

  struct Layer {
    var attentionNorm: NormWeights
    var attention: Attention
    var attentionOutput: LinearWeight
    /// float32 `[heads]`.
    var sinkLogits: Tensor?
    var feedForwardNorm: NormWeights
    /// Only in a gated feed-forward.
    var gate: LinearWeight?
    var up: LinearWeight
    var down: LinearWeight
  }

  enum Attention {
    case separate(query: LinearWeight, key: LinearWeight, value: LinearWeight)
    /// Outputs in the order `q | k | v`.
    case fused(LinearWeight)

    var all: [LinearWeight] {
      switch self {
      case .separate(let query, let key, let value): [query, key, value]
      case .fused(let weight): [weight]
      }
    }
  }

  init(
    _ configuration: ModelConfiguration, inventory: TensorInventory, checkpoint: Checkpoint,
    backend: any Backend, quantization: LoadQuantization?
  ) throws(ModelError) {
    let decoder = configuration.decoder
    var loader = WeightLoader(checkpoint: checkpoint, backend: backend, quantization: quantization)
    let prefix = inventory.prefix
    tokenEmbedding = try loader.tensor(prefix + decoder.tokenEmbedding + ".weight")
    if case .learned(let table) = decoder.positions {
      positionEmbedding = try loader.tensor(prefix + table + ".weight")
    } else {
      positionEmbedding = nil
    }
    if let norm = decoder.embeddingNorm {
      embeddingNorm = try loader.norm(prefix + norm, decoder.norm)
    } else {
      embeddingNorm = nil
    }
    var layers: [Layer] = []
    layers.reserveCapacity(configuration.layers.count)
    for layer in configuration.layers.indices {
      layers.append(try Layer(layer, configuration, inventory, loader))
    }
    self.layers = layers
    // It makes the choice among tokens: bitsandbytes leaves it alone, too.
    loader.quantization = nil
    finalNorm = try loader.norm(prefix + decoder.finalNorm, decoder.norm)
    output =
      decoder.tiesEmbeddings
      ? try loader.tied(to: tokenEmbedding, prefix + decoder.tokenEmbedding)
      : try loader.linear(inventory.output, .init(inventory.output, bias: false), order: .outputsFirst)
  }
}

extension DecoderWeights.Layer {
  init(
    _ layer: Int, _ configuration: ModelConfiguration, _ inventory: TensorInventory, _ loader: WeightLoader
  ) throws(ModelError) {
    let decoder = configuration.decoder
    func linear(_ projection: DecoderDescription.Projection) throws(ModelError) -> LinearWeight {
      try loader.linear(
        inventory.name(projection.name, layer: layer, decoder), projection, order: decoder.weightOrder)
    }
    attentionNorm = try loader.norm(
      inventory.name(decoder.attentionNorm, layer: layer, decoder), decoder.norm)
    switch decoder.attention {
    case .separate(let query, let key, let value):
      attention = .separate(query: try linear(query), key: try linear(key), value: try linear(value))
    case .fused(let projection, let outputs):
      attention = .fused(
        try loader.fused(
          inventory.name(projection.name, layer: layer, decoder), projection, order: decoder.weightOrder,
          outputs: outputs, headDimension: configuration.headDimension))
    }
    attentionOutput = try linear(decoder.attentionOutput)
    if let sinks = inventory.sinkLogits(layer: layer, decoder) {
      sinkLogits = try loader.floats(sinks)
    } else {
      sinkLogits = nil
    }
    feedForwardNorm = try loader.norm(
      inventory.name(decoder.feedForwardNorm, layer: layer, decoder), decoder.norm)
    switch decoder.feedForward {
    case .gated(let gate, let up, let down):
      self.gate = try linear(gate)
      self.up = try linear(up)
      self.down = try linear(down)
    case .plain(let up, let down):
      gate = nil
      self.up = try linear(up)
      self.down = try linear(down)
    }
  }
}

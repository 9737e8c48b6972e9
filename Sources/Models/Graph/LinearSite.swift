/// One linear layer of a decoder by its place, as compression sees it: names and shapes, no family.
package struct LinearSite: Hashable, Sendable {
  package enum Role: String, Hashable, Sendable, CaseIterable {
    case query, key, value
    /// All three in one projection.
    case queryKeyValue = "query_key_value"
    case attentionOutput = "attention_output"
    case gate, up, down
  }

  package let layer: Int
  package let role: Role
  /// Full name in the checkpoint, without ".weight".
  package let module: String
  package let outputs: Int
  package let inputs: Int
  package let hasBias: Bool

  package init(layer: Int, role: Role, module: String, outputs: Int, inputs: Int, hasBias: Bool) {
    self.layer = layer
    self.role = role
    self.module = module
    self.outputs = outputs
    self.inputs = inputs
    self.hasBias = hasBias
  }
}

extension LinearSite.Role {
  /// The activation these layers read. Layers that read the same one are compressed together.
  package var input: TracePoint.LayerPoint {
    switch self {
    case .query, .key, .value, .queryKeyValue: .attentionNorm
    case .attentionOutput: .attention
    case .gate, .up: .feedForwardNorm
    case .down: .activated
    }
  }
}

extension TensorInventory {
  /// The linear layers of each layer, in the order in which they are computed.
  package func sites(_ configuration: ModelConfiguration) -> [[LinearSite]] {
    let decoder = configuration.decoder
    var roles: [LinearSite.Role]
    switch decoder.attention {
    case .separate: roles = [.query, .key, .value]
    case .fused: roles = [.queryKeyValue]
    }
    roles.append(.attentionOutput)
    switch decoder.feedForward {
    case .gated: roles += [.gate, .up, .down]
    case .plain: roles += [.up, .down]
    }
    return configuration.layers.indices.map { layer in
      zip(roles, configuration.projections(of: layer)).map { role, entry in
        LinearSite(
          layer: layer, role: role, module: name(entry.projection.name, layer: layer, decoder),
          outputs: entry.outputs, inputs: entry.inputs, hasBias: entry.projection.bias)
      }
    }
  }

  /// The module names of the two norms of a layer.
  package func norms(layer: Int, _ decoder: DecoderDescription) -> (attention: String, feedForward: String) {
    (name(decoder.attentionNorm, layer: layer, decoder), name(decoder.feedForwardNorm, layer: layer, decoder))
  }
}

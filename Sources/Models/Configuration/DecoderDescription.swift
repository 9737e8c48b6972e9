package import Compute

/// What distinguishes one decoder family from another, as data for the one forward pass in `ModelGraph`.
///
/// Tensor names are module names, without ".weight" and ".bias". Names of a layer's modules follow
/// `prefix + layerStem + index + "."`, all others `prefix`, and the output projection stands alone.
package struct DecoderDescription: Sendable, Equatable {
  /// Tried in this order; the first with which the token embedding exists holds for all names.
  package var prefixes: [String]
  package var tokenEmbedding: String
  /// A norm straight after the embedding (BLOOM).
  package var embeddingNorm: String?
  package var positions: Positions
  /// "layers." or "h."; the layer's index and a dot follow.
  package var layerStem: String
  package var block: Block = .serial
  package var norm: Norm
  package var attentionNorm: String
  package var attention: Attention
  package var attentionOutput: Projection
  /// Logits that each query head has beside those of its keys, with nothing to add for what they win (learned attention sinks,
  /// gpt-oss): float `[heads]`, where a checkpoint has a tensor of this name in its layers.
  package var sinkLogits: String?
  package var feedForwardNorm: String
  package var feedForward: FeedForward
  package var activation: Activation
  package var weightOrder: WeightOrder = .outputsFirst
  package var finalNorm: String
  /// The names this projection has had; the first one present is read.
  package var output = ["lm_head"]
  /// The output projection is the token embedding.
  package var tiesEmbeddings: Bool
  /// `softcap · tanh(score / softcap)` on attention scores.
  package var attentionSoftcap: Float?

  /// How a token's place enters the computation.
  package enum Positions: Sendable, Equatable {
    case rope(Rope)
    case alibi
    /// A table of `maxPositions` rows under this name, added to the embedding.
    case learned(String)
  }

  /// How the two halves of a layer hang on the residual stream.
  package enum Block: Sendable, Equatable {
    /// `x += attention(norm₁(x)); x += feedForward(norm₂(x))`
    case serial
    /// `x += attention(norm₁(x)) + feedForward(norm₂(x))`
    case parallel
  }

  /// The kind of all norms of the model.
  package struct Norm: Sendable, Equatable {
    package var kind: NormParameters.Kind
    package var epsilon: Float

    package init(kind: NormParameters.Kind, epsilon: Double) {
      self.kind = kind
      self.epsilon = Float(epsilon)
    }
  }

  /// A linear layer by name.
  package struct Projection: Sendable, Equatable {
    package var name: String
    package var bias: Bool

    package init(_ name: String, bias: Bool) {
      self.name = name
      self.bias = bias
    }
  }

  /// Where query, key and value come from.
  package enum Attention: Sendable, Equatable {
    case separate(query: Projection, key: Projection, value: Projection)
    case fused(Projection, FusedOrder)
  }

  /// The order of the outputs of a fused projection, `D` a head:
  /// ```
  /// stacked   | q₀ q₁ … | k₀ k₁ … | v₀ v₁ … |      GPT-2
  /// perHead   | q₀ k₀ v₀ | q₁ k₁ v₁ | …            BLOOM, GPT-NeoX
  /// ```
  package enum FusedOrder: Sendable, Equatable { case stacked, perHead }

  /// The second half of a layer.
  package enum FeedForward: Sendable, Equatable {
    /// `down(activation(gate(x)) ⊙ up(x))`
    case gated(gate: Projection, up: Projection, down: Projection)
    /// `down(activation(up(x)))`
    case plain(up: Projection, down: Projection)
  }

  /// How a projection's matrix lies in the file.
  package enum WeightOrder: Sendable, Equatable {
    /// `[outputs, inputs]`, as `torch.nn.Linear` keeps it.
    case outputsFirst
    /// `[inputs, outputs]`: GPT-2's `Conv1D`. Transposed when it is loaded.
    case inputsFirst
  }
}

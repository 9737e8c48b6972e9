/// A named activation of the forward pass, in the order in which they are computed.
package enum TracePoint: Hashable, Sendable {
  /// The residual stream before the first layer.
  case embedding
  case layer(Int, LayerPoint)
  /// The rows whose logits are wanted, after the last norm.
  case finalNorm
  case logits

  /// The activations of one layer; raw values are their names in reports.
  package enum LayerPoint: String, Sendable, CaseIterable {
    /// The residual stream at the layer's start, `[T, H]`.
    case residual
    case attentionNorm = "attention_norm"
    /// `[T, Hq·D]`, after rope.
    case query
    /// `[T, Hkv·D]`, after rope.
    case key
    case value
    /// Before the output projection, `[T, Hq·D]`.
    case attention
    /// After it, `[T, H]`.
    case attentionOutput = "attention_output"
    case feedForwardNorm = "feed_forward_norm"
    /// What the down projection reads, `[T, I]`.
    case activated
    /// What the layer still adds to the residual: the feed-forward's output, in a parallel block the sum of both
    /// halves.
    case feedForwardOutput = "feed_forward_output"
  }
}

extension TracePoint: CustomStringConvertible {
  package var description: String {
    switch self {
    case .embedding: "embedding"
    case .layer(let layer, let point): "layers.\(layer).\(point.rawValue)"
    case .finalNorm: "final_norm"
    case .logits: "logits"
    }
  }
}

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
    /// `[T, Hq·D]`, before rope; only where there is rope.
    case projectedQuery = "projected_query"
    /// `[T, Hkv·D]`, before rope; only where there is rope.
    case projectedKey = "projected_key"
    /// `[T, Hq·D]`, after rope.
    case query
    /// `[T, Hkv·D]`, after rope.
    case key
    case value
    /// Before the output projection, `[T, Hq·D]`.
    case attention
    /// After it, `[T, H]`.
    case attentionOutput = "attention_output"
    /// The residual stream with the attention half added, `[T, H]`; not in parallel blocks.
    case middleResidual = "middle_residual"
    case feedForwardNorm = "feed_forward_norm"
    /// Before the activation, `[T, I]`; `gate` only in a gated feed-forward.
    case up
    case gate
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

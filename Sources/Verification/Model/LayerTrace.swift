package import Compute
package import Models
internal import Numerics

/// Follows one text through a model on two backends, and compares every activation.
///
/// Both sides compute each operation from the *same* inputs: the reference's activations are rounded to the candidate's
/// type as they arise, and written over the candidate's own after these have been compared. So an error shows at the
/// operation that made it, and nowhere after it. The text goes through once as a prompt and then, token by token, as a
/// decode, so that both forms of attention are seen.
package struct LayerTrace {
  /// One named activation of one step.
  package struct Row: Sendable, Equatable {
    package var point: TracePoint
    /// "prompt", or "decode" for the tokens after it.
    package var step: String
    /// What computed it.
    package var operation: String
    package var comparison: Comparison
    package var isBreach: Bool { comparison.isBreach }
  }

  private let reference: ModelGraph
  private let candidate: ModelGraph

  /// - Precondition: the reference was built on a `RoundedBackend` of the candidate's type, with its cache in that type.
  package init(reference: ModelGraph, candidate: ModelGraph) {
    self.reference = reference
    self.candidate = candidate
  }

  /// - Parameter tokens: ids in the vocabulary, the last `decodes` of which are computed one by one.
  /// - Returns: rows in the order of the computation; the first with `isBreach` names the first bad operation.
  package func run(_ tokens: [Int32], decodes: Int = 2) throws(KernelError) -> [Row] {
    defer {
      reference.observer = nil
      candidate.observer = nil
    }
    let promptCount = max(1, tokens.count - decodes)
    var known = try PagedSequence(reference, capacity: tokens.count)
    var tried = try PagedSequence(candidate, capacity: tokens.count)
    var rotates = false
    if case .rope = reference.configuration.decoder.positions { rotates = true }
    let cachesCodes = candidate.limits.cacheType.map(DataType.cacheCodes.contains) ?? false
    let isCorrected = (reference.backend as? RoundedBackend).map { $0.correctedLayers > 0 } ?? false
    let recorder = Recorder(rotates: rotates, cachesCodes: cachesCodes, isCorrected: isCorrected)
    var rows: [Row] = []
    var start = 0
    while start < tokens.count {
      let end = start == 0 ? min(promptCount, tokens.count) : start + 1
      let piece = Array(tokens[start..<end])
      recorder.expected = []
      reference.observer = { [reference, candidate] point, view throws(KernelError) in
        try recorder.record(point, view, reference.backend, as: candidate.backend.activationType)
      }
      _ = try known.append(piece)
      recorder.next = 0
      recorder.rows = []
      recorder.step = start == 0 ? "prompt" : "decode"
      candidate.observer = { [candidate] point, view throws(KernelError) in
        try recorder.compare(point, view, candidate.backend)
      }
      _ = try tried.append(piece)
      rows += recorder.rows
      start = end
    }
    return rows
  }
}

/// What the reference computed, in order, and what came of comparing with it.
private final class Recorder {
  var expected: [(point: TracePoint, values: [Float])] = []
  var next = 0
  var step = ""
  /// Whether query and key are what rope made, rather than a projection.
  private let rotates: Bool
  /// Values are rounded twice: from codes, and as they are weighed.
  private let cachesCodes: Bool
  /// Some products have a low-rank correction.
  private let isCorrected: Bool
  var rows: [LayerTrace.Row] = []
  /// Greatest absolute cached value of each layer, for attention's bound.
  private var valueScale: [Int: Float] = [:]

  init(rotates: Bool, cachesCodes: Bool, isCorrected: Bool) {
    self.rotates = rotates
    self.cachesCodes = cachesCodes
    self.isCorrected = isCorrected
  }

  /// Rounds the reference's own activation, so that it goes on with what the candidate will be given.
  func record(
    _ point: TracePoint, _ view: TensorView, _ backend: any Backend, as type: DataType
  ) throws(KernelError) {
    let values = try Bench.download(view, from: backend)
    if point == .logits {
      expected.append((point, values))
      return
    }
    let rounded = values.map { type.rounding($0) }
    try Bench.upload(rounded, to: view, of: backend)
    // Compared with what was computed; handed on rounded.
    expected.append((point, values))
    if case .layer(let layer, .value) = point {
      valueScale[layer] = max(valueScale[layer] ?? 0, rounded.lazy.map { abs($0) }.max() ?? 0)
    }
  }

  func compare(_ point: TracePoint, _ view: TensorView, _ backend: any Backend) throws(KernelError) {
    guard next < expected.count, expected[next].point == point else {
      throw .unsupported(operation: "layer trace", reason: "the two models computed different activations")
    }
    let reference = expected[next].values
    next += 1
    let type = point == .logits ? DataType.float32 : backend.activationType
    var magnitudes: [Float] = []
    if case .layer(let layer, .attention) = point {
      magnitudes = Array(repeating: valueScale[layer] ?? 0, count: reference.count)
    }
    let found = try Bench.download(view, from: backend)
    rows.append(
      LayerTrace.Row(
        point: point, step: step, operation: point.operation(rotates: rotates),
        comparison: Comparison(
          found, against: reference, magnitudes: magnitudes,
          bound: point.bound(type, rotates: rotates, cachesCodes: cachesCodes, isCorrected: isCorrected),
          type: type)))
    if point != .logits { try Bench.upload(reference, to: view, of: backend) }
  }
}

extension TracePoint {
  /// The operation that computes this activation from the ones before it.
  package func operation(rotates: Bool) -> String {
    switch self {
    case .embedding: "embed"
    case .finalNorm: "norm"
    case .logits: "linear (output)"
    case .layer(_, let point):
      switch point {
      case .residual, .middleResidual: "norm (residual sum)"
      case .attentionNorm, .feedForwardNorm: "norm"
      case .projectedQuery: "linear (query)"
      case .projectedKey: "linear (key)"
      case .value: "linear (value)"
      case .query: rotates ? "rope" : "linear (query)"
      case .key: rotates ? "rope" : "linear (key)"
      case .attention: "attention"
      case .attentionOutput: "linear (attention output)"
      case .gate: "linear (gate)"
      case .up: "linear (up)"
      case .activated: "activation"
      case .feedForwardOutput: "linear (down)"
      }
    }
  }

  /// From rounding the result once to `type`, and from float32 arithmetic on equal inputs.
  fileprivate func bound(
    _ type: DataType, rotates: Bool, cachesCodes: Bool, isCorrected: Bool
  ) -> ErrorBound {
    // Two orders of summation in float32, then one rounding. A correction is added to a product that is rounded already, and what lies between its two products is rounded too:
    // each by half a unit of about the greatest result.
    let product = ErrorBound(
      relative: 1.01, scale: 0x1p-15 + (isCorrected ? 2.02 * type.unitRoundoff : 0))
    switch self {
    case .embedding: return ErrorBound(relative: 3, scale: 0x1p-19)
    // float32 output: two orders of summation.
    case .logits: return ErrorBound(relative: 1, scale: 0x1p-17)
    case .finalNorm: return Self.norm(type)
    case .layer(_, let point):
      switch point {
      case .residual, .middleResidual: return .rounded
      case .attentionNorm, .feedForwardNorm: return Self.norm(type)
      case .query, .key: return rotates ? .rounded : product
      case .activated: return .rounded
      case .attention:
        // The greatest cached value bounds what the rounded weights of all values can amount to.
        return ErrorBound(
          relative: 1.01, magnitude: (cachesCodes ? 2.25 : 1.25) * type.unitRoundoff + 0x1p-15)
      case .projectedQuery, .projectedKey, .value, .attentionOutput, .gate, .up, .feedForwardOutput:
        return product
      }
    }
  }

  /// A norm reads the residual sum, which the device has rounded and the reference has not: up to `u` of the greatest
  /// element more, before the mean is taken off.
  private static func norm(_ type: DataType) -> ErrorBound {
    ErrorBound(relative: 2.1, scale: 0x1p-18 + 0.5 * type.unitRoundoff)
  }
}

extension Rope {
  private static let supportedTypes = ["default", "linear", "dynamic", "llama3", "yarn"]
  private static let factorRange = 1.0...1e6

  /// Reads the rope fields of a configuration, in either spelling:
  /// ```
  /// "rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 2}
  /// "rope_parameters": {"rope_theta": 1e6, "rope_type": "linear", "factor": 2}
  /// ```
  /// "type" is the older name of "rope_type". Where both objects are given, "rope_scaling" counts, as in
  /// Hugging Face.
  ///
  /// - Parameter partialFactor: the share of each head that is rotated where the configuration does not say.
  static func read(
    _ reader: ConfigurationReader, headDimension: Int, maxPositions: Int, thetaName: String = "rope_theta",
    partialName: String = "partial_rotary_factor", partialFactor: Double = 1, allowsPartial: Bool = false
  ) throws(ModelError) -> Rope {
    let thetaRange = 1.000_001...1e15
    var parameters = try reader.object("rope_scaling")
    if parameters == nil { parameters = try reader.object("rope_parameters") }
    if let nested = parameters?.firstNestedObject {
      throw reader.unsupported(
        nested, "an object for one kind of layer", ["one set of rope parameters for all layers"])
    }

    let outerTheta = try reader.number(thetaName, in: thetaRange, default: 10_000)
    let theta = try parameters?.number("rope_theta", in: thetaRange, default: outerTheta) ?? outerTheta
    let outerPartial = try reader.number(partialName, in: 0...1, default: partialFactor)
    let partial =
      try parameters?.number("partial_rotary_factor", in: 0...1, default: outerPartial) ?? outerPartial
    guard allowsPartial || partial == 1 else { throw reader.unsupported(partialName, "\(partial)", ["1"]) }

    let rotary = Int(Double(headDimension) * partial)
    guard rotary >= 2, rotary % 2 == 0 else {
      throw reader.conflict(
        "head_dim",
        reason:
          "\(rotary) of \(headDimension) components of a head are rotated; it must be an even number, at least 2"
      )
    }
    var rope = Rope(theta: theta, rotaryDimension: rotary)
    if let parameters {
      rope.scaling = try scaling(
        parameters, outer: reader, maxPositions: maxPositions, rotaryDimension: rotary)
    }
    return rope
  }

  private static func scaling(
    _ reader: ConfigurationReader, outer: ConfigurationReader, maxPositions: Int, rotaryDimension: Int
  ) throws(ModelError) -> Scaling {
    let type = try reader.string("rope_type", "type") ?? "default"
    switch type {
    case "default": return .none
    case "linear": return .linear(factor: try reader.number("factor", in: factorRange))
    case "dynamic":
      guard rotaryDimension > 2 else {
        throw reader.conflict(
          "rope_type", reason: "dynamic scaling needs more than two rotated components a head")
      }
      return .dynamic(
        factor: try reader.number("factor", in: factorRange), originalLength: maxPositions)
    case "llama3":
      let low = try reader.number("low_freq_factor", in: 1e-6...1e6)
      let high = try reader.number("high_freq_factor", in: 1e-6...1e6)
      guard low < high else {
        throw reader.conflict(
          "low_freq_factor", "high_freq_factor", reason: "\(low) must be less than \(high)")
      }
      return .llama3(
        Llama3(
          factor: try reader.number("factor", in: factorRange), lowFrequencyFactor: low,
          highFrequencyFactor: high,
          originalLength: try originalLength(reader, outer: outer, maxPositions: maxPositions)))
    case "yarn": return .yarn(try yarn(reader, outer: outer, maxPositions: maxPositions))
    case "frequency_factors":
      let factors = try reader.numbers("frequency_factors", in: 1e-6...1e9)
      guard factors.count == rotaryDimension / 2 else {
        throw reader.conflict(
          "frequency_factors",
          reason: "\(factors.count) factors for \(rotaryDimension / 2) pairs of components")
      }
      return .factors(factors.map { Float($0) })
    default:
      throw reader.unsupported("rope_type", "\"\(type)\"", supportedTypes)
    }
  }

  /// The length before stretching: a field of the configuration itself goes before one of the rope parameters.
  private static func originalLength(
    _ reader: ConfigurationReader, outer: ConfigurationReader, maxPositions: Int
  ) throws(ModelError) -> Int {
    let field = "original_max_position_embeddings"
    if let length = try outer.optionalInteger(field, in: ConfigurationRange.positions) { return length }
    return try reader.integer(field, in: ConfigurationRange.positions, default: maxPositions)
  }

  private static func yarn(
    _ reader: ConfigurationReader, outer: ConfigurationReader, maxPositions: Int
  ) throws(ModelError) -> Yarn {
    let original = try originalLength(reader, outer: outer, maxPositions: maxPositions)
    let implied = Swift.max(Double(maxPositions) / Double(original), 1)
    let factor = try reader.number("factor", in: factorRange, default: implied)
    let magnitude = try reader.number("mscale", in: 0...1e3, default: 0)
    let magnitudeAll = try reader.number("mscale_all_dim", in: 0...1e3, default: 0)
    var attentionFactor = Yarn.magnitude(factor)
    if magnitude != 0 && magnitudeAll != 0 {
      attentionFactor = Yarn.magnitude(factor, magnitude) / Yarn.magnitude(factor, magnitudeAll)
    }
    let fast = try reader.number("beta_fast", in: 0...1e6, default: 32)
    let slow = try reader.number("beta_slow", in: 0...1e6, default: 1)
    let betaFast = fast == 0 ? 32 : fast
    let betaSlow = slow == 0 ? 1 : slow
    guard betaFast >= betaSlow else {
      throw reader.conflict("beta_fast", "beta_slow", reason: "\(betaFast) must not be less than \(betaSlow)")
    }
    return Yarn(
      factor: factor, originalLength: original,
      attentionFactor: try reader.number("attention_factor", in: 0...1e3, default: attentionFactor),
      betaFast: betaFast, betaSlow: betaSlow, truncate: try reader.flag("truncate", default: true))
  }
}

internal import JSON

/// The `rope_scaling` of a GGUF file.
enum GGUFRope {
  /// The name under which the factors of `rope_freqs.weight` go into the configuration.
  ///
  /// llama.cpp computes Llama 3's rule when it converts and stores the result only: what each rotary frequency is divided
  /// by. So the configuration has `{"rope_type": "frequency_factors", "frequency_factors": [head_dim / 2 numbers]}`, a type
  /// Hugging Face does not have.
  static let frequencyFactors = "frequency_factors"

  static func scaling(_ parameters: GGUFHyperparameters) throws(GGUFError) -> JSONValue {
    let type = try parameters.text("rope.scaling.type") ?? "none"
    var factor = try parameters.number("rope.scaling.factor")
    var kind = type
    if kind == "none", let old = try parameters.number("rope.scale_linear"), old != 1 {
      (kind, factor) = ("linear", old)
    }
    if let factors = parameters.ropeFactors, factors.contains(where: { $0 != 1 }) {
      guard kind == "none" else {
        throw .unsupportedFeature(
          key: parameters.key("rope.scaling.type"), value: "\(kind) with rope_freqs.weight")
      }
      return [
        "rope_type": .string(frequencyFactors),
        "frequency_factors": .array(factors.map { .double(Double($0)) }),
      ]
    }
    if kind == "none" || (kind == "linear" && factor == 1) { return .null }
    guard kind == "linear" || kind == "yarn" else {
      throw .unsupportedFeature(key: parameters.key("rope.scaling.type"), value: kind)
    }
    guard let factor, factor > 0 else {
      throw .badValue(
        key: parameters.key("rope.scaling.factor"), value: factor.map { "\($0)" } ?? "missing",
        expected: "a number above 0")
    }
    var scaling: JSONObject = ["rope_type": .string(kind), "type": .string(kind), "factor": .double(factor)]
    if let original = try parameters.count("rope.scaling.original_context_length") {
      scaling["original_max_position_embeddings"] = .integer(Int64(original))
    }
    if kind == "yarn" { try addYarn(parameters, to: &scaling) }
    return .object(scaling)
  }

  private static func addYarn(
    _ parameters: GGUFHyperparameters, to scaling: inout JSONObject
  ) throws(GGUFError) {
    if let fast = try parameters.number("rope.scaling.yarn_beta_fast") {
      scaling["beta_fast"] = .double(fast)
    }
    if let slow = try parameters.number("rope.scaling.yarn_beta_slow") {
      scaling["beta_slow"] = .double(slow)
    }
    for name in ["rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_ext_factor"]
    {
      guard let value = try parameters.number(name), value != 1 else { continue }
      throw .unsupportedFeature(key: parameters.key(name), value: "\(value)")
    }
  }
}

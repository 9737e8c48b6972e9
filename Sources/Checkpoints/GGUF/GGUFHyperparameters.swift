/// The metadata under `ARCHITECTURE.`, checked as it is read.
struct GGUFHyperparameters: Sendable {
  let architecture: String
  let metadata: GGUFMetadata
  let tensorNames: Set<String>
  /// What each rotary frequency is divided by, from `rope_freqs.weight`; nil without that tensor.
  let ropeFactors: [Float]?

  /// Larger counts are no model's.
  private static let greatestCount = 1 << 31

  func key(_ name: String) -> String { architecture + "." + name }

  func hasTensor(_ name: String) -> Bool { tensorNames.contains(name) }

  /// A count from 1 up; nil for a missing key. A list with a value for each layer must have equal values.
  func count(_ name: String) throws(GGUFError) -> Int? {
    let key = key(name)
    let value: Int?
    if case .array = metadata[key] {
      let values = try metadata.ints(key) ?? []
      guard Set(values).count == 1 else {
        throw .unsupportedFeature(key: key, value: "different values for different layers")
      }
      value = values[0]
    } else {
      value = try metadata.int(key)
    }
    guard let value else { return nil }
    guard (1...Self.greatestCount).contains(value) else {
      throw .badValue(key: key, value: "\(value)", expected: "a count from 1 to \(Self.greatestCount)")
    }
    return value
  }

  func required(_ name: String) throws(GGUFError) -> Int {
    guard let value = try count(name) else { throw .missingKey(key(name)) }
    return value
  }

  /// A finite number; nil for a missing key. A float32 becomes the double with the fewest digits that rounds to it, so that
  /// 1e-5 reads as 1e-5.
  func number(_ name: String) throws(GGUFError) -> Double? {
    let key = key(name)
    guard let value = try metadata.double(key) else { return nil }
    guard value.isFinite else { throw .badValue(key: key, value: "\(value)", expected: "a finite number") }
    if case .float32(let single) = metadata[key] { return Double(single.description) ?? value }
    return value
  }

  func requiredNumber(_ name: String) throws(GGUFError) -> Double {
    guard let value = try number(name) else { throw .missingKey(key(name)) }
    return value
  }

  func text(_ name: String) throws(GGUFError) -> String? { try metadata.string(key(name)) }

  /// Refuses what would change the computation in a way no Hugging Face key of these models expresses.
  func refuseUnsupported() throws(GGUFError) {
    if let parts = try metadata.int("split.count"), parts > 1 { throw .split(count: parts) }
    if let type = try metadata.string("general.type"), type != "model" {
      throw .unsupportedFeature(key: "general.type", value: type)
    }
    let neutral: [(name: String, value: Double)] = [
      ("expert_count", 0), ("attention.clamp_kqv", 0), ("attn_logit_softcapping", 0),
      ("final_logit_softcapping", 0), ("logit_scale", 1), ("residual_scale", 1), ("embedding_scale", 1),
    ]
    for (name, value) in neutral {
      guard let found = try number(name), found != value else { continue }
      throw .unsupportedFeature(key: key(name), value: "\(found)")
    }
    if let scale = try number("attention.scale") {
      throw .unsupportedFeature(key: key("attention.scale"), value: "\(scale)")
    }
    let bias = try number("attention.max_alibi_bias")
    if let bias, bias != (architecture == "bloom" ? 8 : 0) {
      throw .unsupportedFeature(key: key("attention.max_alibi_bias"), value: "\(bias)")
    }
    if try metadata.bool(key("use_parallel_residual")) == true {
      throw .unsupportedFeature(key: key("use_parallel_residual"), value: "true")
    }
    if try metadata.bool(key("attention.causal")) == false {
      throw .unsupportedFeature(key: key("attention.causal"), value: "false")
    }
  }
}

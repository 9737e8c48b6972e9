internal import JSON

/// The configuration AutoGPTQ and GPTQModel write.
struct GPTQSettings: Sendable {
  struct Values: Sendable, Equatable {
    var bits: Int
    var groupSize: Int?
    var symmetric: Bool
  }

  /// An entry of GPTQModel's `dynamic`: other values for the modules that match, or none at all.
  struct Override: Sendable {
    let pattern: ModulePattern
    let values: Values?
  }

  let values: Values
  let isVersion1: Bool
  let overrides: [Override]

  private static let bits = [2, 3, 4, 8]

  init(_ fields: QuantizationFields) throws(QuantizationError) {
    let values = try Self.values(fields, base: nil)
    self.values = values
    switch try fields.string("checkpoint_format") {
    case nil, "gptq": isVersion1 = true
    case "gptq_v2": isVersion1 = false
    case let other?: throw fields.unsupported("checkpoint_format", "\"\(other)\"", ["gptq", "gptq_v2"])
    }
    if let type = try fields.string("pack_dtype"), type != "int32" {
      throw fields.unsupported("pack_dtype", "\"\(type)\"", ["int32"])
    }
    var overrides: [Override] = []
    if let dynamic = try fields.fields("dynamic"), let object = dynamic.json.object {
      for (key, _) in object {
        let skips = key.hasPrefix("-:")
        let text = skips || key.hasPrefix("+:") ? String(key.dropFirst(2)) : key
        let inner = try dynamic.fields(key) ?? QuantizationFields(.object([:]), path: dynamic.path)
        overrides.append(
          Override(
            pattern: try dynamic.pattern(key, text),
            values: skips ? nil : try Self.values(inner, base: values)))
      }
    }
    self.overrides = overrides
  }

  private static func values(_ fields: QuantizationFields, base: Values?) throws(QuantizationError) -> Values
  {
    let bits = try fields.required("bits", try fields.integer("bits") ?? base?.bits)
    guard Self.bits.contains(bits) else {
      throw fields.unsupported("bits", "\(bits)", Self.bits.map(String.init))
    }
    let groupSize = fields.value("group_size") == nil ? base?.groupSize : try fields.groupSize()
    if base == nil, fields.value("group_size") == nil { throw .missingField(fields.path + "group_size") }
    return Values(
      bits: bits, groupSize: groupSize, symmetric: try fields.bool("sym") ?? base?.symmetric ?? false)
  }

  /// - Throws: where `dynamic` says that the module, which has packed tensors, is not quantised.
  func scheme(for module: String) throws(QuantizationError) -> LinearScheme {
    var values = values
    if let override = overrides.first(where: { $0.pattern.matches(module) }) {
      guard let other = override.values else {
        throw .contradiction(
          module: module, tensor: module + ".qweight", reason: "\"dynamic\" leaves the module out")
      }
      values = other
    }
    return .gptq(
      bits: values.bits, groupSize: values.groupSize, symmetric: values.symmetric, isVersion1: isVersion1)
  }
}

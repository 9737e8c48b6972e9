internal import JSON

/// `quantization_config` of `config.json`: which modules are quantised, and how.
package struct QuantizationConfiguration: Sendable {
  enum Method: Sendable {
    case gptq(GPTQSettings)
    case awq(AWQSettings)
    case compressedTensors(CompressedTensorsSettings)
    case bitsandbytes(BitsAndBytesSettings)
  }

  let method: Method

  static let methods = ["gptq", "awq", "compressed-tensors", "bitsandbytes"]

  /// - Throws: for anything that is not known to be read right.
  init(_ json: JSONValue) throws(QuantizationError) {
    guard json.object != nil else {
      throw .badField("quantization_config", found: json.serialized(), allowed: "an object")
    }
    let fields = QuantizationFields(json, path: "quantization_config.")
    switch try fields.string("quant_method") {
    case nil: throw .missingField("quantization_config.quant_method")
    case "gptq": method = .gptq(try GPTQSettings(fields))
    case "awq": method = .awq(try AWQSettings(fields))
    case "compressed-tensors": method = .compressedTensors(try CompressedTensorsSettings(fields))
    case "bitsandbytes": method = .bitsandbytes(try BitsAndBytesSettings(fields))
    case let other?:
      throw .unsupported("quantization_config.quant_method", found: "\"\(other)\"", supported: Self.methods)
    }
  }

  /// The scheme of a linear layer; nil where its weight is plain.
  ///
  /// - Parameter has: whether the checkpoint has a tensor.
  func scheme(
    for module: String, has: (String) -> Bool
  ) throws(QuantizationError) -> LinearScheme? {
    switch method {
    case .gptq(let settings): has(module + ".qweight") ? try settings.scheme(for: module) : nil
    case .awq(let settings): has(module + ".qweight") ? settings.scheme : nil
    case .bitsandbytes(let settings): try settings.scheme(for: module, has: has)
    case .compressedTensors(let settings): try settings.scheme(for: module, has: has)
    }
  }
}

/// Typed reading of one JSON object of a quantisation's configuration. `null` counts as left out.
struct QuantizationFields {
  let json: JSONValue
  let path: String

  init(_ json: JSONValue, path: String) {
    self.json = json
    self.path = path
  }

  func value(_ name: String) -> JSONValue? {
    guard let value = json[name], !value.isNull else { return nil }
    return value
  }

  func string(_ name: String) throws(QuantizationError) -> String? {
    try read(name, "a string") { $0.string }
  }

  func bool(_ name: String) throws(QuantizationError) -> Bool? { try read(name, "true or false") { $0.bool } }

  func integer(_ name: String) throws(QuantizationError) -> Int? { try read(name, "an integer") { $0.int } }

  func number(_ name: String) throws(QuantizationError) -> Double? {
    try read(name, "a number") { $0.double }
  }

  func strings(_ name: String) throws(QuantizationError) -> [String] {
    try read(name, "an array of strings") { value in
      guard let array = value.array else { return nil }
      let strings = array.compactMap(\.string)
      return strings.count == array.count ? strings : nil
    } ?? []
  }

  func fields(_ name: String) throws(QuantizationError) -> QuantizationFields? {
    guard let value = try read(name, "an object", { $0.object == nil ? nil : $0 }) else { return nil }
    return QuantizationFields(value, path: path + name + ".")
  }

  func required<Value>(_ name: String, _ value: Value?) throws(QuantizationError) -> Value {
    guard let value else { throw .missingField(path + name) }
    return value
  }

  func unsupported(_ name: String, _ found: String, _ supported: [String]) -> QuantizationError {
    .unsupported(path + name, found: found, supported: supported)
  }

  func bad(_ name: String, _ allowed: String) -> QuantizationError {
    .badField(path + name, found: value(name)?.serialized() ?? "missing", allowed: allowed)
  }

  /// A group size: −1 stands for the whole row.
  func groupSize(_ name: String = "group_size") throws(QuantizationError) -> Int? {
    guard let size = try integer(name), size != -1 else { return nil }
    guard size > 0 else { throw bad(name, "a positive integer, or -1 for whole rows") }
    return size
  }

  func pattern(_ name: String, _ text: String) throws(QuantizationError) -> ModulePattern {
    do throws(ModulePattern.Problem) { return try ModulePattern(text) } catch {
      throw .badPattern(path + name, pattern: text, reason: "\(error)")
    }
  }

  private func read<Value>(
    _ name: String, _ allowed: String, _ convert: (JSONValue) -> Value?
  ) throws(QuantizationError) -> Value? {
    guard let value = value(name) else { return nil }
    guard let converted = convert(value) else { throw bad(name, allowed) }
    return converted
  }
}

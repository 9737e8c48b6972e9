/// The configuration transformers writes for bitsandbytes.
struct BitsAndBytesSettings: Sendable {
  let threshold: Float?

  init(_ fields: QuantizationFields) throws(QuantizationError) {
    if try fields.bool("llm_int8_has_fp16_weight") == true {
      throw fields.unsupported("llm_int8_has_fp16_weight", "true", ["false"])
    }
    let value = Float(try fields.number("llm_int8_threshold") ?? 6)
    guard value >= 0 else { throw fields.bad("llm_int8_threshold", "0 or more") }
    threshold = value == 0 ? nil : value
  }

  /// What is quantised shows in the tensors: both kinds carry their scales beside the weight.
  func scheme(for module: String, has: (String) -> Bool) throws(QuantizationError) -> LinearScheme? {
    if has(module + ".SCB") { return .bitsandbytesInt8(threshold: threshold) }
    return has(module + ".weight.absmax") ? .bitsandbytes4Bit : nil
  }
}

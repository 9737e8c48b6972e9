/// The configuration AutoAWQ writes.
struct AWQSettings: Sendable {
  let scheme: LinearScheme

  init(_ fields: QuantizationFields) throws(QuantizationError) {
    // The keys of AutoAWQ's own quant_config.json have other names.
    let bits = try fields.required("bits", try fields.integer(fields.value("bits") == nil ? "w_bit" : "bits"))
    guard bits == 4 else { throw fields.unsupported("bits", "\(bits)", ["4"]) }
    let groupSize = try fields.groupSize(fields.value("group_size") == nil ? "q_group_size" : "group_size")
    if try fields.bool("zero_point") == false {
      throw fields.unsupported("zero_point", "false", ["true"])
    }
    switch try fields.string("version") {
    case nil, "gemm", "GEMM": scheme = .awq(groupSize: groupSize, .gemm)
    case "gemv", "GEMV": scheme = .awq(groupSize: groupSize, .gemv)
    case let other?: throw fields.unsupported("version", "\"\(other)\"", ["gemm", "gemv"])
    }
  }
}

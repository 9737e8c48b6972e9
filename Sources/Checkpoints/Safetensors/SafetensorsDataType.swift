internal import Numerics

/// The `dtype` names of safetensors. The format knows more (unsigned words, complex, sub-byte floats); no model
/// read here uses them.
enum SafetensorsDataType {
  private static let names: [(name: String, type: DataType)] = [
    ("F64", .float64), ("F32", .float32), ("F16", .float16), ("BF16", .bfloat16),
    ("I64", .int64), ("I32", .int32), ("I16", .int16), ("I8", .int8), ("U8", .uint8), ("BOOL", .bool),
    ("F8_E4M3", .float8E4M3), ("F8_E5M2", .float8E5M2),
  ]

  static var knownNames: String { names.map(\.name).joined(separator: ", ") }

  static func type(named name: String) -> DataType? { names.first { $0.name == name }?.type }

  static func name(of type: DataType) -> String { names.first { $0.type == type }?.name ?? type.rawValue }
}

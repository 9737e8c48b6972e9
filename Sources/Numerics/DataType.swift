/// The element type of a tensor in memory or in a file.
package enum DataType: String, Sendable, Hashable, CaseIterable {
  case float32, float16, bfloat16, float64
  case int64, int32, int16, int8, uint8, bool
  case float8E4M3, float8E5M2

  /// Bytes of one element.
  package var byteCount: Int {
    switch self {
    case .int64, .float64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .int8, .uint8, .bool, .float8E4M3, .float8E5M2: 1
    }
  }
}

/// The element types of ggml tensors that are read here, with the ids GGUF files use.
///
/// A quantised type stores blocks of 32 or 256 consecutive elements of a row.
package enum GGMLType: UInt32, Sendable, Hashable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q40 = 2
  case q41 = 3
  case q50 = 6
  case q51 = 7
  case q80 = 8
  case q2K = 10
  case q3K = 11
  case q4K = 12
  case q5K = 13
  case q6K = 14
  case i8 = 24
  case i16 = 25
  case i32 = 26
  case i64 = 27
  case f64 = 28
  case bf16 = 30

  /// Elements of one block; a row holds a whole number of blocks.
  package var blockElements: Int {
    switch self {
    case .q2K, .q3K, .q4K, .q5K, .q6K: 256
    case .q40, .q41, .q50, .q51, .q80: 32
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64: 1
    }
  }

  package var blockBytes: Int {
    switch self {
    case .q40: 2 + 16
    case .q41: 2 + 2 + 16
    case .q50: 2 + 4 + 16
    case .q51: 2 + 2 + 4 + 16
    case .q80: 2 + 32
    case .q2K: 16 + 64 + 2 + 2
    case .q3K: 32 + 64 + 12 + 2
    case .q4K: 2 + 2 + 12 + 128
    case .q5K: 2 + 2 + 12 + 32 + 128
    case .q6K: 128 + 64 + 16 + 2
    case .i64, .f64: 8
    case .f32, .i32: 4
    case .f16, .bf16, .i16: 2
    case .i8: 1
    }
  }

  /// What the elements are when they are not quantised.
  package var plainType: DataType? {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    case .f64: .float64
    case .i8: .int8
    case .i16: .int16
    case .i32: .int32
    case .i64: .int64
    case .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K: nil
    }
  }

  /// ggml's own name, as in `Q4_K`.
  package var name: String {
    let name = String(describing: self).uppercased()
    return plainType == nil ? name.prefix(2) + "_" + name.dropFirst(2) : name
  }

  /// The name of any id ggml has given out, for messages.
  package static func name(ofID id: UInt32) -> String {
    GGMLType(rawValue: id)?.name ?? unreadNames[id] ?? "an unknown type"
  }

  private static let unreadNames: [UInt32: String] = [
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
    42: "Q2_0",
  ]
}

internal import Generation
internal import Numerics

/// `--kv-cache-dtype`: what keys and values are cached as.
enum CacheTypeFlag {
  static let option = OptionSpecification.value(
    "--kv-cache-dtype", "TYPE", default: "auto",
    "Keys and values as float32, float16 or bfloat16, or as codes with a scale for each token and head: int8 or "
      + "fp8 (E4M3). auto is the type of the activations.")

  /// vLLM's names and the plain ones.
  private enum Name: String, CaseIterable {
    case auto, float32, float16, bfloat16, int8, fp8
    case fp8E4M3 = "fp8_e4m3"

    var type: DataType? {
      switch self {
      case .auto: nil
      case .float32: .float32
      case .float16: .float16
      case .bfloat16: .bfloat16
      case .int8: .int8
      case .fp8, .fp8E4M3: .float8E4M3
      }
    }
  }

  /// nil for `auto`; whether a device has it is for its profile to say.
  static func type(_ arguments: ParsedArguments) throws(UsageError) -> DataType? {
    try arguments.choice(option.name, as: Name.self)?.type
  }

  /// The type, if the device can cache in it.
  static func type(_ arguments: ParsedArguments, on device: DeviceProfile) throws -> DataType? {
    let chosen = try type(arguments)
    try device.checkCacheType(chosen)
    return chosen
  }
}

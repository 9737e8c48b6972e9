package import Checkpoints
package import Numerics

extension Checkpoint {
  /// The 16-bit type that keeps most of what is stored: float16 where most bytes are float16, else bfloat16, which holds
  /// every magnitude that float32 does.
  package var sixteenBitType: DataType {
    var bytes: [DataType: Int] = [:]
    for name in tensorNames {
      guard let tensor = tensors[name] else { continue }
      bytes[tensor.dataType, default: 0] += tensor.byteRange.count
    }
    let half = bytes[.float16] ?? 0
    return half > (bytes[.bfloat16] ?? 0) && half > (bytes[.float32] ?? 0) ? .float16 : .bfloat16
  }
}

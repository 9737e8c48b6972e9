internal import Checkpoints

/// The input is a GGUF file; every tensor of it that is accepted can be decoded.
@c(LLVMFuzzerTestOneInput)
public func fuzzGGUF(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  unsafe InputFile.write(data, size)
  guard let checkpoint = try? Checkpoint.open(InputFile.path) else { return 0 }
  for name in checkpoint.tensorNames {
    if let tensor = try? checkpoint.rawTensor(name) { unsafe InputFile.touch(tensor.bytes) }
  }
  return 0
}

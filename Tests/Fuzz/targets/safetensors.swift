internal import Checkpoints

/// The input is a safetensors file; every tensor of it that is accepted can be read to its last byte.
@c(LLVMFuzzerTestOneInput)
public func fuzzSafetensors(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  unsafe InputFile.write(data, size)
  guard let file = try? SafetensorsFile(path: InputFile.path) else { return 0 }
  for name in file.names {
    if let tensor = try? file.tensor(name) { unsafe InputFile.touch(tensor.bytes) }
  }
  return 0
}

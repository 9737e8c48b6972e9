internal import Checkpoints
internal import Compute
internal import Glibc

/// The first line is the configuration, the rest a safetensors file; every quantised layer that is accepted and whose
/// numbers are sound can be decoded.
@c(LLVMFuzzerTestOneInput)
public func fuzzQuantization(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = unsafe UnsafeBufferPointer(start: data, count: size)
  guard let end = unsafe input.firstIndex(of: UInt8(ascii: "\n")) else { return 0 }
  let directory = "/tmp/gpuinfer-fuzz-\(getpid())"
  unsafe mkdir(directory, 0o700)
  unsafe write([UInt8](input[..<end]), directory + "/config.json")
  unsafe write([UInt8](input[(end + 1)...]), directory + "/model.safetensors")
  guard let checkpoint = try? Checkpoint.open(directory) else { return 0 }
  for module in checkpoint.linearModules {
    guard let linear = try? checkpoint.linear(module), let store = try? checkpoint.store(of: linear),
      (try? store.validateValues()) != nil, store.outputs > 0, store.inputs < 1 << 20
    else { continue }
    _ = try? checkpoint.correction(of: linear)
    var row = [Float](repeating: 0, count: store.inputs)
    for output in [0, store.outputs - 1] {
      unsafe row.withUnsafeMutableBufferPointer { unsafe store.copyRow(output, into: $0) }
    }
    for format in CheckpointFormat.allCases {
      _ = try? LinearWriter(format: format, module: module).tensors(of: store)
    }
  }
  return 0
}

private func write(_ bytes: [UInt8], _ path: String) {
  let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  _ = unsafe Glibc.write(file, bytes, bytes.count)
  close(file)
}

internal import Numerics

/// One safetensors file on its own, without a model around it: token ids, scores, calibration data.
package final class SafetensorsFile: Sendable {
  package let path: String
  /// Sorted.
  package let names: [String]
  private let file: MappedFile
  private let tensors: [String: SafetensorsHeader.Tensor]

  package init(path: String) throws(CheckpointError) {
    let file = try MappedFile(path: path)
    do throws(SafetensorsError) {
      let header = try unsafe SafetensorsHeader.parse(bytes: file.bytes, fileSize: file.byteCount)
      tensors = [String: SafetensorsHeader.Tensor](header.tensors.map { ($0.name, $0) }) { first, _ in first }
    } catch { throw .safetensors(file: path, error) }
    self.path = path
    self.file = file
    names = tensors.keys.sorted()
  }

  /// The elements of a tensor, borrowed from the mapped file, or copied where they lie unaligned.
  package func tensor(_ name: String) throws(CheckpointError) -> RawTensor {
    guard let tensor = tensors[name] else { throw .tensorMissing(name: name, path: path) }
    let source = unsafe UnsafeRawBufferPointer(rebasing: file.bytes[tensor.byteRange])
    if UInt(bitPattern: source.baseAddress) % UInt(tensor.dataType.byteCount) == 0 {
      return unsafe RawTensor(
        name: name, dataType: tensor.dataType, shape: tensor.shape, bytes: source, owner: file)
    }
    let copy = OwnedBytes(byteCount: source.count)
    unsafe copy.mutableBytes.copyMemory(from: source)
    return unsafe RawTensor(
      name: name, dataType: tensor.dataType, shape: tensor.shape, bytes: copy.bytes, owner: copy)
  }
}

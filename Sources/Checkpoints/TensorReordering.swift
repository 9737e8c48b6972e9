internal import Numerics

/// A move of elements that turns a tensor as llama.cpp stores it into the one Hugging Face stores.
enum TensorReordering: Sendable, Equatable {
  /// llama.cpp rotates neighbours (2i, 2i+1), Hugging Face halves (i, i + d/2), so its converter reorders the d rows of
  /// each of `heads` heads of q and k. This puts them back:
  ///
  ///     GGUF row      h·d + 2i + s          s = 0, 1
  ///     Hugging Face  h·d + s·d/2 + i
  case ropeRows(heads: Int)
  /// BLOOM's fused projection: GGUF has all of q, then k, then v; Hugging Face q, k and v of each head together.
  ///
  ///     GGUF row      (t·heads + h)·d + i   t = 0, 1, 2 for q, k, v
  ///     Hugging Face  (h·3 + t)·d + i
  case fusedHeads(heads: Int)
  /// GPT-2 of Hugging Face multiplies by [in, out]; GGUF stores [out, in] like every other linear layer.
  case transposed

  /// The shape Hugging Face has.
  func shape(of stored: [Int]) -> [Int] { self == .transposed ? stored.reversed() : stored }

  /// The shape in the file of a tensor that Hugging Face has in `shape`.
  func storedShape(of shape: [Int]) -> [Int] { self == .transposed ? shape.reversed() : shape }

  /// nil if a stored tensor of this shape can be reordered, else what shape was expected.
  func complaint(about stored: [Int]) -> String? {
    // A scalar is one value, which no number of heads divides.
    let rows = stored.first ?? 1
    switch self {
    case .ropeRows(let heads):
      return heads > 0 && rows % (2 * heads) == 0 ? nil : "rows of \(heads) heads of an even size"
    case .fusedHeads(let heads):
      return heads > 0 && rows % (3 * heads) == 0 ? nil : "rows for q, k and v of \(heads) heads"
    case .transposed: return stored.count == 2 ? nil : "two dimensions"
    }
  }

  /// - Precondition: `complaint(about:)` has none; `tensor` has the stored shape.
  func apply(to tensor: RawTensor) -> RawTensor {
    let target = OwnedBytes(byteCount: tensor.byteCount)
    let rows = tensor.shape.first ?? 1
    unsafe tensor.withBytes { source in
      switch self {
      case .ropeRows(let heads):
        let half = rows / heads / 2
        unsafe Self.moveRows(rows, from: source, to: target) { row in
          let (head, inHead) = row.quotientAndRemainder(dividingBy: 2 * half)
          return head * 2 * half + inHead % half * 2 + inHead / half
        }
      case .fusedHeads(let heads):
        let size = rows / heads / 3
        unsafe Self.moveRows(rows, from: source, to: target) { row in
          let (head, inHead) = row.quotientAndRemainder(dividingBy: 3 * size)
          return (inHead / size * heads + head) * size + inHead % size
        }
      case .transposed:
        unsafe Self.transpose(source, to: target, shape: tensor.shape, tensor.dataType)
      }
    }
    return unsafe RawTensor(
      name: tensor.name, dataType: tensor.dataType, shape: shape(of: tensor.shape), bytes: target.bytes,
      owner: target)
  }

  /// Fills row `r` of the target from row `origin(r)` of the source.
  private static func moveRows(
    _ rows: Int, from source: UnsafeRawBufferPointer, to target: OwnedBytes, _ origin: (Int) -> Int
  ) {
    guard rows > 0 else { return }
    let size = source.count / rows
    for row in 0..<rows {
      let part = unsafe UnsafeMutableRawBufferPointer(
        rebasing: target.mutableBytes[row * size..<(row + 1) * size])
      let start = origin(row) * size
      unsafe part.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[start..<start + size]))
    }
  }

  private static func transpose(
    _ source: UnsafeRawBufferPointer, to target: OwnedBytes, shape: [Int], _ type: DataType
  ) {
    switch type.byteCount {
    case 1: unsafe transpose(source, to: target, shape, UInt8.self)
    case 2: unsafe transpose(source, to: target, shape, UInt16.self)
    case 4: unsafe transpose(source, to: target, shape, UInt32.self)
    default: unsafe transpose(source, to: target, shape, UInt64.self)
    }
  }

  private static func transpose<Element: FixedWidthInteger>(
    _ source: UnsafeRawBufferPointer, to target: OwnedBytes, _ shape: [Int], _ type: Element.Type
  ) {
    let size = MemoryLayout<Element>.size
    let (rows, columns) = (shape[0], shape[1])
    let output = unsafe target.mutableBytes
    for row in 0..<rows {
      for column in 0..<columns {
        let element = unsafe source.loadUnaligned(fromByteOffset: (row * columns + column) * size, as: type)
        unsafe output.storeBytes(of: element, toByteOffset: (column * rows + row) * size, as: type)
      }
    }
  }
}

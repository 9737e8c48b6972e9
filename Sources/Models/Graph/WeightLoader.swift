internal import Checkpoints
internal import Compute
internal import Numerics

/// Reads the tensors of a checked inventory and places them on a backend.
struct WeightLoader {
  let checkpoint: Checkpoint
  let backend: any Backend

  /// A matrix or table in the type and, where the backend can use it, the memory of the file.
  func tensor(_ name: String) throws(ModelError) -> Tensor { try place(try borrow(name)) }

  /// A vector as float32.
  func vector(_ name: String) throws(ModelError) -> Tensor { try place(try hostVector(name)) }

  func norm(_ module: String, _ norm: DecoderDescription.Norm) throws(ModelError) -> NormWeights {
    NormWeights(
      kind: norm.kind, epsilon: norm.epsilon, weight: try vector(module + ".weight"),
      bias: norm.kind == .layer ? try vector(module + ".bias") : nil)
  }

  func linear(
    _ module: String, _ projection: DecoderDescription.Projection, order: DecoderDescription.WeightOrder
  ) throws(ModelError) -> LinearWeight {
    var weight = try borrow(module + ".weight")
    if order == .inputsFirst { weight = weight.transposed() }
    return try place(
      LinearWeight(dense: weight, bias: projection.bias ? try hostVector(module + ".bias") : nil))
  }

  /// A fused projection whose outputs are brought into the order `q | k | v`.
  func fused(
    _ module: String, _ projection: DecoderDescription.Projection, order: DecoderDescription.WeightOrder,
    outputs: DecoderDescription.FusedOrder, headDimension: Int
  ) throws(ModelError) -> LinearWeight {
    guard outputs == .perHead else { return try linear(module, projection, order: order) }
    var weight = try borrow(module + ".weight")
    if order == .inputsFirst { weight = weight.transposed() }
    var bias = projection.bias ? try hostVector(module + ".bias") : nil
    weight = weight.stackingHeads(headDimension)
    bias = bias?.stackingHeads(headDimension)
    return try place(LinearWeight(dense: weight, bias: bias))
  }

  // MARK: Reading

  private func read(_ name: String) throws(ModelError) -> RawTensor {
    do throws(CheckpointError) { return try checkpoint.rawTensor(name) } catch { throw .checkpoint(error) }
  }

  private func borrow(_ name: String) throws(ModelError) -> Tensor { Self.tensor(try read(name)) }

  private func hostVector(_ name: String) throws(ModelError) -> Tensor {
    let raw = try read(name)
    if raw.dataType == .float32 { return Self.tensor(raw) }
    return unsafe HostTensor.make(.float32, Shape(raw.elementCount)) { bytes in
      unsafe raw.copyFloats(into: bytes.bindMemory(to: Float.self))
    }
  }

  private static func tensor(_ raw: RawTensor) -> Tensor {
    Tensor(
      storage: unsafe Storage(borrowing: raw.bytes, owner: raw.owner), shape: Shape(raw.shape),
      dataType: raw.dataType)
  }

  private func place(_ tensor: Tensor) throws(ModelError) -> Tensor {
    do throws(KernelError) { return try backend.place(tensor) } catch { throw .kernel(error) }
  }

  private func place(_ weight: LinearWeight) throws(ModelError) -> LinearWeight {
    do throws(KernelError) { return try backend.place(weight) } catch { throw .kernel(error) }
  }
}

extension Tensor {
  /// A copy with rows and columns swapped, made in square tiles so that both sides stay in cache.
  func transposed() -> Tensor {
    let (rows, columns, size) = (shape[0], shape[1], dataType.byteCount)
    let source = view
    return unsafe HostTensor.make(dataType, Shape(columns, rows)) { bytes in
      guard let target = bytes.baseAddress else { return }
      switch size {
      case 2: unsafe Self.transpose(source.address, rows, columns, into: target, as: UInt16.self)
      default: unsafe Self.transpose(source.address, rows, columns, into: target, as: UInt32.self)
      }
    }
  }

  private static func transpose<Bits: FixedWidthInteger>(
    _ source: UnsafeMutableRawPointer, _ rows: Int, _ columns: Int, into target: UnsafeMutableRawPointer,
    as type: Bits.Type
  ) {
    let source = unsafe source.assumingMemoryBound(to: type)
    let target = unsafe target.bindMemory(to: type, capacity: rows * columns)
    let tile = 32
    for rowStart in stride(from: 0, to: rows, by: tile) {
      for columnStart in stride(from: 0, to: columns, by: tile) {
        for row in rowStart..<Swift.min(rowStart + tile, rows) {
          for column in columnStart..<Swift.min(columnStart + tile, columns) {
            unsafe target[column * rows + row] = source[row * columns + column]
          }
        }
      }
    }
  }

  /// A copy whose rows, in the order `q₀ k₀ v₀ q₁ k₁ v₁ …`, are stacked `q₀ q₁ … k₀ k₁ … v₀ v₁ …`.
  func stackingHeads(_ headDimension: Int) -> Tensor {
    let heads = shape[0] / (3 * headDimension)
    let headBytes = byteCount / shape[0] * headDimension
    let source = view
    return unsafe HostTensor.make(dataType, shape) { bytes in
      guard let target = bytes.baseAddress else { return }
      for head in 0..<heads {
        for part in 0..<3 {
          unsafe (target + (part * heads + head) * headBytes)
            .copyMemory(from: source.address + (head * 3 + part) * headBytes, byteCount: headBytes)
        }
      }
    }
  }
}

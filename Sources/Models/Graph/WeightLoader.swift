internal import Checkpoints
internal import Compute
internal import Numerics

/// Reads the tensors of a checked inventory and places them on a backend.
struct WeightLoader {
  let checkpoint: Checkpoint
  let backend: any Backend
  /// What plain weights become.
  var quantization: LoadQuantization?

  /// A matrix or table in the type and, where the backend can use it, the memory of the file.
  func tensor(_ name: String) throws(ModelError) -> Tensor { try place(try borrow(name)) }

  /// A vector as float32, or in the type that the backend holds its vectors in.
  func vector(_ name: String) throws(ModelError) -> Tensor { try place(try hostVector(name)) }

  /// A vector that stays float32 on every backend.
  func floats(_ name: String) throws(ModelError) -> Tensor {
    let vector = try hostVector(name)
    do throws(KernelError) {
      let placed = Tensor(
        storage: try backend.allocate(byteCount: vector.byteCount), shape: vector.shape, dataType: .float32)
      try unsafe backend.upload(
        UnsafeRawBufferPointer(start: vector.view.address, count: vector.byteCount), to: placed.view)
      try backend.synchronize()
      return placed
    } catch { throw .kernel(error) }
  }

  func norm(_ module: String, _ norm: DecoderDescription.Norm) throws(ModelError) -> NormWeights {
    NormWeights(
      kind: norm.kind, epsilon: norm.epsilon, weight: try vector(module + ".weight"),
      bias: norm.kind == .layer ? try vector(module + ".bias") : nil)
  }

  func linear(
    _ module: String, _ projection: DecoderDescription.Projection, order: DecoderDescription.WeightOrder
  ) throws(ModelError) -> LinearWeight {
    let bias = projection.bias ? try hostVector(module + ".bias") : nil
    return try place(try store(module, order), bias: bias, module, try correction(module))
  }

  /// A fused projection whose outputs are brought into the order `q | k | v`.
  func fused(
    _ module: String, _ projection: DecoderDescription.Projection, order: DecoderDescription.WeightOrder,
    outputs: DecoderDescription.FusedOrder, headDimension: Int
  ) throws(ModelError) -> LinearWeight {
    guard outputs == .perHead else { return try linear(module, projection, order: order) }
    let store = try store(module, order)
    let rows = Tensor.stackingHeads(store.outputs, headDimension)
    guard let stacked = store.reordered(outputs: rows) else {
      throw .kernel(
        .unsupported(
          operation: "load",
          reason: "\(module): outputs of \(store.summary) cannot be sorted into queries, keys and values"))
    }
    let bias = projection.bias ? try hostVector(module + ".bias").gatheringRows(rows) : nil
    let correction = try correction(module).map {
      LowRankCorrection(a: $0.a, b: $0.b.gatheringRows(rows))
    }
    return try place(stacked, bias: bias, module, correction)
  }

  /// The output projection of a model that ties it to the embedding: quantised where the file has it so.
  func tied(to embedding: Tensor, _ module: String) throws(ModelError) -> LinearWeight {
    // A table of embeddings is no linear layer to any other format.
    guard case .blocks? = checkpoint.tensors[module + ".weight"]?.storage,
      let quantised = try quantised(module)
    else { return LinearWeight(dense: embedding) }
    return try place(quantised, bias: nil, module)
  }

  // MARK: Reading

  private func read(_ name: String) throws(ModelError) -> RawTensor {
    do throws(CheckpointError) { return try checkpoint.rawTensor(name) } catch { throw .checkpoint(error) }
  }

  private func borrow(_ name: String) throws(ModelError) -> Tensor { Self.tensor(try read(name)) }

  /// A weight with outputs first, in host memory.
  private func store(
    _ module: String, _ order: DecoderDescription.WeightOrder
  ) throws(ModelError) -> LinearWeight.Store {
    if let quantised = try quantised(module) { return quantised }
    var weight = try borrow(module + ".weight")
    if order == .inputsFirst { weight = weight.transposed() }
    guard let quantization else { return .dense(weight) }
    do throws(StoreError) { return try quantization.store(of: weight) } catch {
      throw .checkpoint(.quantization(path: checkpoint.path, .store(module: module, error)))
    }
  }

  /// nil where the weight is plain, or is GGUF blocks that the backend does not multiply and which are decoded instead.
  private func quantised(_ module: String) throws(ModelError) -> LinearWeight.Store? {
    do throws(CheckpointError) {
      guard let linear = try checkpoint.linear(module) else { return nil }
      if case .gguf(let type) = linear.scheme, !backend.blockTypes.contains(type) { return nil }
      return try checkpoint.store(of: linear)
    } catch { throw .checkpoint(error) }
  }

  private func correction(_ module: String) throws(ModelError) -> LowRankCorrection? {
    do throws(CheckpointError) {
      guard let linear = try checkpoint.linear(module) else { return nil }
      return try checkpoint.correction(of: linear)
    } catch { throw .checkpoint(error) }
  }

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

  private func place(
    _ store: LinearWeight.Store, bias: Tensor?, _ module: String, _ correction: LowRankCorrection? = nil
  ) throws(ModelError) -> LinearWeight {
    let weight: LinearWeight
    do throws(StoreError) { weight = try LinearWeight(store, bias: bias, correction: correction) } catch {
      throw .checkpoint(.quantization(path: checkpoint.path, .store(module: module, error)))
    }
    do throws(KernelError) { return try backend.place(weight) } catch { throw .kernel(error) }
  }
}

extension Tensor {
  /// The order in which rows `q₀ k₀ v₀ q₁ k₁ v₁ …` are taken to be stacked as `q₀ q₁ … k₀ k₁ … v₀ v₁ …`.
  static func stackingHeads(_ rows: Int, _ headDimension: Int) -> [Int] {
    let heads = rows / (3 * headDimension)
    return (0..<3).flatMap { part in
      (0..<heads).flatMap { head in
        (0..<headDimension).map { (head * 3 + part) * headDimension + $0 }
      }
    }
  }

  /// A copy with its rows in that order.
  func stackingHeads(_ headDimension: Int) -> Tensor {
    gatheringRows(Self.stackingHeads(shape[0], headDimension))
  }

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
}

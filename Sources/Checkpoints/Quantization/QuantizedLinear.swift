package import Compute
internal import JSON
internal import Numerics

/// A linear layer whose weight is quantised in a checkpoint: what it is, before a byte of it is read.
package struct QuantizedLinear: Sendable {
  package let module: String
  package let scheme: LinearScheme
  package let outputs: Int
  package let inputs: Int
  /// The tensors it is made of.
  package let tensorNames: [String]
  /// Of those tensors, in the files.
  package let byteCount: Int
}

extension Checkpoint {
  /// The quantised weight of a linear layer; nil where it is plain.
  ///
  /// - Throws: where the layer's tensors are missing, of wrong shapes, or contradict the configuration.
  package func linear(_ module: String) throws(CheckpointError) -> QuantizedLinear? {
    let tensors = ModuleTensors(checkpoint: self, module: module)
    if case .blocks(let type)? = self.tensors[module + ".weight"]?.storage {
      let shape = storedShape(module + ".weight")
      guard shape.count == 2 else { return nil }
      return tensors.linear(.gguf(type), shape[0], shape[1], ["weight"])
    }
    guard let quantization else { return nil }
    do throws(QuantizationError) {
      let has = { (name: String) in self.tensors[name] != nil }
      guard let scheme = try quantization.scheme(for: module, has: has) else { return nil }
      switch scheme {
      case .gptq(let bits, let size, _, _): return try tensors.describeGPTQ(scheme, bits, size)
      case .awq(_, let layout): return try tensors.describeAWQ(scheme, layout)
      case .compressedTensors(let settings): return try tensors.describeCompressed(scheme, settings)
      case .sparse(let pattern): return try tensors.describeSparse(scheme, pattern, nil)
      case .bitsandbytesInt8, .bitsandbytes4Bit: return try tensors.describeBitsAndBytes(scheme)
      case .gguf: return nil
      }
    } catch { throw .quantization(path: path, error) }
  }

  /// Reads a layer `linear` has found. Borrows the file's bytes where they lie as a store has them.
  package func store(of linear: QuantizedLinear) throws(CheckpointError) -> LinearWeight.Store {
    let tensors = ModuleTensors(checkpoint: self, module: linear.module)
    do throws(ReadFailure) {
      switch linear.scheme {
      case .gptq(let bits, let size, let symmetric, let isVersion1):
        return .integer(
          try tensors.readGPTQ(linear, bits: bits, groupSize: size, symmetric: symmetric, isVersion1))
      case .awq(let size, .gemm): return .integer(try tensors.readAWQGEMM(linear, groupSize: size))
      case .awq(let size, .gemv): return .integer(try tensors.readAWQGEMV(linear, groupSize: size))
      case .compressedTensors(let settings): return try tensors.readCompressed(linear, settings)
      case .sparse(let pattern): return .sparse(try tensors.readSparse(linear, pattern, nil))
      case .bitsandbytesInt8(let threshold):
        return .integer(try tensors.readBitsAndBytesInt8(linear, threshold: threshold))
      case .bitsandbytes4Bit: return .codebook(try tensors.readBitsAndBytes4Bit(linear))
      case .gguf(let type): return .blocks(try tensors.readBlocks(linear, type))
      }
    } catch { throw error.described(path, linear.module) }
  }

  /// What is added to a layer's product, where the checkpoint has something.
  package func correction(of linear: QuantizedLinear) throws(CheckpointError) -> LowRankCorrection? {
    do throws(ReadFailure) {
      return try ModuleTensors(checkpoint: self, module: linear.module).readCorrection(linear)
    } catch { throw error.described(path, linear.module) }
  }
}

/// What can go wrong while one layer is read.
enum ReadFailure: Error {
  case checkpoint(CheckpointError)
  case quantization(QuantizationError)
  case store(StoreError)

  func described(_ path: String, _ module: String) -> CheckpointError {
    switch self {
    case .checkpoint(let error): error
    case .quantization(let error): .quantization(path: path, error)
    case .store(let error): .quantization(path: path, .store(module: module, error))
    }
  }
}

/// The tensors of one module, by the end of their names.
struct ModuleTensors {
  let checkpoint: Checkpoint
  let module: String

  func has(_ suffix: String) -> Bool { checkpoint.tensors["\(module).\(suffix)"] != nil }

  /// The directory entry of a tensor that must be there, of one of `types`.
  func entry(_ suffix: String, _ types: [DataType]) throws(QuantizationError) -> TensorEntry {
    let name = "\(module).\(suffix)"
    guard let entry = checkpoint.tensors[name] else { throw .missingTensor(name) }
    guard types.contains(entry.dataType) else {
      throw .tensorType(
        name, found: entry.dataType.rawValue, expected: types.map(\.rawValue).joined(separator: " or "))
    }
    return entry
  }

  /// A matrix's shape.
  func matrix(_ suffix: String, _ types: [DataType]) throws(QuantizationError) -> (rows: Int, columns: Int) {
    let entry = try entry(suffix, types)
    guard entry.shape.count == 2, !entry.shape.contains(0) else {
      throw .tensorShape(entry.name, found: entry.shape, expected: "two dimensions, none empty")
    }
    return (entry.shape[0], entry.shape[1])
  }

  func linear(
    _ scheme: LinearScheme, _ outputs: Int, _ inputs: Int, _ suffixes: [String]
  ) -> QuantizedLinear {
    let names = suffixes.filter(has).map { "\(module).\($0)" }
    let bytes = names.reduce(0) { $0 + (checkpoint.tensors[$1]?.byteRange.count ?? 0) }
    return QuantizedLinear(
      module: module, scheme: scheme, outputs: outputs, inputs: inputs, tensorNames: names, byteCount: bytes)
  }

  /// The elements of a tensor, after its type and shape have been checked.
  func read(_ suffix: String, _ types: [DataType], _ shape: [Int]) throws(ReadFailure) -> Tensor {
    let raw = try raw(suffix, types)
    guard raw.shape == shape else {
      throw .quantization(.tensorShape(raw.name, found: raw.shape, expected: "\(shape)"))
    }
    return unsafe Tensor(
      storage: Storage(borrowing: raw.bytes, owner: raw.owner), shape: Shape(shape), dataType: raw.dataType)
  }

  /// As `read`, under another shape with as many elements.
  func read(
    _ suffix: String, _ types: [DataType], _ shape: [Int], as other: Shape
  ) throws(ReadFailure) -> Tensor {
    let tensor = try read(suffix, types, shape)
    return Tensor(storage: tensor.storage, shape: other, dataType: tensor.dataType)
  }

  func raw(_ suffix: String, _ types: [DataType]) throws(ReadFailure) -> RawTensor {
    do throws(QuantizationError) { _ = try entry(suffix, types) } catch { throw .quantization(error) }
    do throws(CheckpointError) { return try checkpoint.rawTensor("\(module).\(suffix)") } catch {
      throw .checkpoint(error)
    }
  }

  /// Makes a store, giving its complaint the way out.
  func make<Store>(_ body: () throws(StoreError) -> Store) throws(ReadFailure) -> Store {
    do throws(StoreError) { return try body() } catch { throw .store(error) }
  }

  /// A group size that divides the row; nil is the whole row.
  func groupSize(_ size: Int?, inputs: Int) throws(ReadFailure) -> Int {
    let size = size ?? inputs
    guard size > 0, inputs % size == 0 else { throw .store(.groupSize(size, inputs: inputs)) }
    return size
  }

  static let scaleTypes: [DataType] = [.float16, .bfloat16, .float32]
}

package import Compute
internal import JSON
internal import Numerics

/// A tensor to be written under a module's name.
package struct ModuleTensor {
  package let suffix: String
  package let tensor: Tensor

  package init(_ suffix: String, _ tensor: Tensor) {
    self.suffix = suffix
    self.tensor = tensor
  }
}

/// The tensors of a linear layer in one format, and what the configuration has to say about them.
///
/// Nothing is rounded: a store that holds what the format cannot say is refused.
package struct LinearWriter {
  package let format: CheckpointFormat
  package let module: String
  /// A dense weight lies `[inputs, outputs]` in files of the family.
  package var denseIsTransposed = false

  package init(format: CheckpointFormat, module: String) {
    self.format = format
    self.module = module
  }

  /// - Throws: `cannotHold` with the reason.
  package func tensors(
    of store: LinearWeight.Store, correction: LowRankCorrection? = nil
  ) throws(QuantizationError) -> [ModuleTensor] {
    if format == .compressedTensors { return try compressedTensors(store, correction) }
    if correction != nil { throw refuse("it has no low-rank correction") }
    if format == .dense { return [ModuleTensor("weight", try dense(store))] }
    let weight = try plainInteger(store)
    switch format {
    case .gptq: return try gptq(weight, isVersion1: true)
    case .gptqV2: return try gptq(weight, isVersion1: false)
    case .awq: return try awq(weight)
    case .compressedTensors, .dense: return []
    }
  }

  func refuse(_ reason: String) -> QuantizationError {
    .cannotHold(module: module, format: format.rawValue, reason: reason)
  }

  /// The integer weight of a store, with what GPTQ and AWQ have no place for refused.
  private func plainInteger(_ store: LinearWeight.Store) throws(QuantizationError) -> IntegerWeight {
    guard case .integer(let weight) = try store.asIntegers(module) else {
      throw refuse("the weight is stored as \(store.summary)")
    }
    if weight.outliers != nil { throw refuse("it has no columns in 16 bits beside the codes") }
    if weight.activations != nil { throw refuse("it has no rounding of activations") }
    if case .reals = weight.zero { throw refuse("its zeros are integers") }
    if case .permuted = weight.order { throw refuse("its columns are in the order of the inputs") }
    return weight
  }
}

extension LinearWeight.Store {
  /// Q4_0 and Q8_0 blocks are integers with a scale for each 32; every other store is returned as it is.
  func asIntegers(_ module: String) throws(QuantizationError) -> LinearWeight.Store {
    guard case .blocks(let blocks) = self, blocks.type == .q40 || blocks.type == .q80 else { return self }
    do throws(StoreError) { return .integer(try blocks.integers()) } catch {
      throw .store(module: module, error)
    }
  }
}

extension BlockWeight {
  /// - Precondition: Q4_0 or Q8_0.
  func integers() throws(StoreError) -> IntegerWeight {
    let bits = type == .q40 ? 4 : 8
    let groups = inputs / 32
    let (rowBytes, width) = (blocks.shape[1], PackedCodes.wordCount(inputs, bits: bits))
    let source = unsafe UnsafeRawPointer(blocks.view.address)
    let scales = unsafe HostTensor.make(.float16, Shape(outputs, groups)) { bytes in
      for block in 0..<outputs * groups {
        let bits = unsafe source.loadUnaligned(fromByteOffset: block * type.blockBytes, as: UInt16.self)
        unsafe bytes.storeBytes(of: bits, toByteOffset: block * 2, as: UInt16.self)
      }
    }
    let codes = unsafe HostTensor.make(.int32, Shape(outputs, width)) { bytes in
      guard let target = unsafe bytes.bindMemory(to: UInt32.self).baseAddress else { return }
      var line = [UInt8](repeating: 0, count: inputs)
      for row in 0..<outputs {
        for group in 0..<groups {
          let block = unsafe source + row * rowBytes + group * type.blockBytes + 2
          for i in 0..<32 {
            // Q8_0 has signed bytes; Q4_0 the first sixteen in low nibbles, the others in high ones.
            let byte = unsafe block.load(fromByteOffset: bits == 8 ? i : i % 16, as: UInt8.self)
            line[group * 32 + i] = bits == 8 ? byte ^ 0x80 : i < 16 ? byte & 15 : byte >> 4
          }
        }
        unsafe line.withUnsafeBufferPointer {
          unsafe PackedCodes.pack($0, bits: bits, into: target + row * width)
        }
      }
    }
    return try IntegerWeight(
      outputs: outputs, inputs: inputs, bits: bits, groupSize: 32, codes: codes, scales: scales)
  }
}

internal import Compute
internal import Numerics

extension LinearWriter {
  /// The weight that a store stands for: a sparse one in the type of its values, one of codes in float32, which holds
  /// the product of a scale and a difference of codes exactly.
  func dense(_ store: LinearWeight.Store) throws(QuantizationError) -> Tensor {
    if store.roundsActivations { throw refuse("it does not round activations") }
    do throws(StoreError) { try store.validateValues() } catch {
      throw .store(module: module, error)
    }
    let matrix: Tensor
    if case .dense(let weight) = store {
      matrix = weight
    } else if case .sparse(let weight) = store, case .floats(let kept) = weight.values {
      matrix = weight.spread(kept)
    } else {
      matrix = HostTensor.copy(store.dequantized(), .float32, Shape(store.outputs, store.inputs))
    }
    return denseIsTransposed ? WordLayouts.transposed(matrix) : matrix
  }
}

extension SparseWeight {
  /// `[outputs, inputs]` with these elements where the mask is set, bit for bit.
  func spread(_ kept: Tensor) -> Tensor {
    let size = kept.dataType.byteCount
    return unsafe HostTensor.make(kept.dataType, Shape(outputs, inputs)) { bytes in
      guard let target = bytes.baseAddress else { return }
      unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
      for row in 0..<outputs {
        let start = start(row: row)
        for (place, input) in keptInputs(row: row).enumerated() {
          unsafe (target + (row * inputs + input) * size).copyMemory(
            from: kept.view.address + (start + place) * size, byteCount: size)
        }
      }
    }
  }
}

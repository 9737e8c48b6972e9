package import CPUBackend
package import Compute
package import Numerics

/// From solvers' results to canonical stores.
extension QuantizedRows {
  /// - Parameters:
  ///   - groupIndex: the group of each column, where it does not follow from its place.
  ///   - activations: how the kernel rounds activations; nil not at all.
  package func weight(
    groupIndex: [Int32]? = nil, outliers: OutlierColumns? = nil, activations: IntegerActivations? = nil
  ) throws(StoreError) -> IntegerWeight {
    // Only some sizes are stored; others go into the next larger one, codes unchanged.
    let zero: IntegerWeight.Zero
    switch grid.convention {
    case .symmetric, .symmetricNarrow, .symmetricFull: zero = .midpoint
    case .asymmetric:
      zero = .integers(HostTensor.copy(zeros.map { UInt8($0) }, .uint8, Shape(rows, groups)))
    case .realZero: zero = .reals(HostTensor.narrowed(zeros, grid.scaleType, Shape(rows, groups)))
    }
    return try IntegerWeight(
      outputs: rows, inputs: columns, bits: grid.bits, groupSize: grid.groupSize,
      codes: HostTensor.packed(codes, bits: grid.bits, rows: rows, columns: columns),
      scales: HostTensor.narrowed(scales, grid.scaleType, Shape(rows, groups)), zero: zero,
      order: groupIndex.map { .grouped(HostTensor.copy($0, .int32, Shape(columns))) } ?? .natural,
      outliers: outliers, activations: activations)
  }
}

extension HostTensor {
  /// Rows of codes as `PackedCodes` streams.
  package static func packed(_ codes: [UInt8], bits: Int, rows: Int, columns: Int) -> Tensor {
    let width = PackedCodes.wordCount(columns, bits: bits)
    return unsafe make(.int32, Shape(rows, width)) { bytes in
      let words = unsafe bytes.bindMemory(to: UInt32.self)
      unsafe codes.withUnsafeBufferPointer { codes in
        guard let target = words.baseAddress else { return }
        for row in 0..<rows {
          let source = unsafe UnsafeBufferPointer(rebasing: codes[row * columns..<(row + 1) * columns])
          unsafe PackedCodes.pack(source, bits: bits, into: target + row * width)
        }
      }
    }
  }

  /// Floats in another floating-point type, rounded to nearest.
  package static func narrowed(_ values: [Float], _ type: DataType, _ shape: Shape) -> Tensor {
    switch type {
    case .float16: copy(values.map { $0.float16Bits }, .float16, shape)
    case .bfloat16: copy(values.map { BFloat16($0).bitPattern }, .bfloat16, shape)
    default: copy(values, .float32, shape)
    }
  }
}

extension Matrix {
  /// A dense tensor of these elements.
  package func tensor(_ type: DataType) -> Tensor {
    HostTensor.narrowed(array, type, Shape(rows, columns))
  }

  /// Rounds each element to what `type` can hold.
  package func round(to type: DataType) {
    let elements = unsafe self.elements
    switch type {
    case .float16:
      for index in elements.indices { unsafe elements[index] = Float(Float16(elements[index])) }
    case .bfloat16:
      for index in elements.indices { unsafe elements[index] = BFloat16(elements[index]).float }
    default: break
    }
  }

  package var isFinite: Bool {
    let elements = unsafe self.elements
    for index in elements.indices where unsafe !elements[index].isFinite { return false }
    return true
  }
}

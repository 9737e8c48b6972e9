internal import Numerics

/// Reading and reordering on the host. Everything here needs the parts in host memory.
extension IntegerWeight {
  /// The codes of one output in stored column order.
  package func copyCodes(ofRow row: Int, into target: UnsafeMutableBufferPointer<UInt8>) {
    let words = unsafe codes.view.address.assumingMemoryBound(to: UInt32.self)
    unsafe PackedCodes.unpack(
      words + row * codes.shape[1], bits: bits,
      into: UnsafeMutableBufferPointer(rebasing: target[0..<inputs]))
  }

  package func codes(ofRow row: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: inputs) { buffer, count in
      unsafe copyCodes(ofRow: row, into: buffer)
      count = inputs
    }
  }

  /// The zero of a group, in units of codes.
  package func zero(row: Int, group: Int) -> Float {
    switch zero {
    case .midpoint: Float(1 << (bits - 1))
    case .integers(let zeros): Float(zeros.integer(at: row * groups + group))
    case .reals(let zeros): zeros.float(at: row * groups + group)
    }
  }

  /// One row of W in channel order: the reference every kernel is held to.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let codes = codes(ofRow: row)
    let scale = (0..<groups).map { scales.float(at: row * groups + $0) }
    let zero = (0..<groups).map { self.zero(row: row, group: $0) }
    for column in 0..<inputs {
      var (channel, group) = (column, column / groupSize)
      switch order {
      case .natural: break
      case .grouped(let index): group = index.integer(at: column)
      case .permuted(let order): channel = order.integer(at: column)
      }
      unsafe target[channel] = scale[group] * (Float(codes[column]) - zero[group])
    }
    guard let outliers else { return }
    for position in 0..<outliers.count {
      unsafe target[outliers.indices.integer(at: position)] =
        outliers.columns.float(at: row * outliers.count + position)
    }
  }

  /// The same weight with the columns of each group side by side, as kernels want them: act-order becomes an order of
  /// the inputs. Channels of a group stay in ascending order, so that the result depends on the weight only.
  ///
  /// - Throws: what `validateValues` throws about the group index.
  package func sortedByGroup() throws(StoreError) -> IntegerWeight {
    guard case .grouped(let index) = order else { return self }
    try check(groupIndex: index)
    let group = index.integers
    // A counting sort, hence stable.
    var next = (0..<groups).map { $0 * groupSize }
    var channels = [Int32](repeating: 0, count: inputs)
    for channel in 0..<inputs {
      channels[next[group[channel]]] = Int32(channel)
      next[group[channel]] += 1
    }
    let width = codes.shape[1]
    let sorted = unsafe HostTensor.make(.int32, codes.shape) { bytes in
      let words = unsafe bytes.bindMemory(to: UInt32.self)
      var row = [UInt8](repeating: 0, count: inputs)
      for output in 0..<outputs {
        let natural = codes(ofRow: output)
        for column in 0..<inputs { row[column] = natural[Int(channels[column])] }
        unsafe row.withUnsafeBufferPointer { row in
          if let base = words.baseAddress {
            unsafe PackedCodes.pack(row, bits: bits, into: base + output * width)
          }
        }
      }
    }
    return try IntegerWeight(
      outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize, codes: sorted, scales: scales,
      zero: zero, order: .permuted(HostTensor.copy(channels, .int32, Shape(inputs))), outliers: outliers,
      activations: activations)
  }
}

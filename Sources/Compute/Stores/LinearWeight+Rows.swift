internal import Numerics

extension LinearWeight.Store {
  /// The same weight with its outputs in another order: output `i` is the old output `order[i]`. Host memory only.
  ///
  /// - Returns: nil for a store whose outputs share numbers with their neighbours.
  package func reordered(outputs order: [Int]) -> LinearWeight.Store? {
    precondition(order.count == outputs, "an order of \(order.count) for \(outputs) outputs")
    func rows(_ tensor: Tensor) -> Tensor { tensor.gatheringRows(order) }
    switch self {
    case .dense(let weight): return .dense(rows(weight))
    case .integer(let weight):
      let zero: IntegerWeight.Zero =
        switch weight.zero {
        case .midpoint: .midpoint
        case .integers(let zeros): .integers(rows(zeros))
        case .reals(let zeros): .reals(rows(zeros))
        }
      let outliers = weight.outliers.map { OutlierColumns(indices: $0.indices, columns: rows($0.columns)) }
      // Shapes are as before, so nothing can be thrown.
      return
        (try? IntegerWeight(
          outputs: weight.outputs, inputs: weight.inputs, bits: weight.bits, groupSize: weight.groupSize,
          codes: rows(weight.codes), scales: rows(weight.scales), zero: zero, order: weight.order,
          outliers: outliers, activations: weight.activations)).map { .integer($0) }
    case .float8(let weight):
      // One row of scales may serve all outputs; blocks of some may not be torn.
      guard weight.blockRows == 1 || weight.scales.shape[0] == 1 else { return nil }
      return
        (try? Float8Weight(
          outputs: weight.outputs, inputs: weight.inputs, codes: rows(weight.codes),
          scales: weight.blockRows == 1 ? rows(weight.scales) : weight.scales, blockRows: weight.blockRows,
          blockColumns: weight.blockColumns, activations: weight.activations)).map { .float8($0) }
    case .codebook(let weight):
      return
        (try? CodebookWeight(
          outputs: weight.outputs, inputs: weight.inputs, codes: rows(weight.codes), table: weight.table,
          groupSize: weight.groupSize, scales: rows(weight.scales))).map { .codebook($0) }
    case .blocks(let weight):
      return
        (try? BlockWeight(
          outputs: weight.outputs, inputs: weight.inputs, type: weight.type, blocks: rows(weight.blocks)))
        .map { .blocks($0) }
    // Shapes are as before, so nothing can be thrown.
    case .sparse(let weight): return (try? weight.reordered(outputs: order)).map { .sparse($0) }
    case .spqr, .placed: return nil
    }
  }
}

extension Tensor {
  /// Row `i` of the copy is row `order[i]`.
  package func gatheringRows(_ order: [Int]) -> Tensor {
    let rowBytes = shape[0] == 0 ? 0 : byteCount / shape[0]
    var extents = shape.array
    extents[0] = order.count
    let source = view
    return unsafe HostTensor.make(dataType, Shape(extents)) { bytes in
      guard let target = bytes.baseAddress else { return }
      for (row, origin) in order.enumerated() {
        unsafe (target + row * rowBytes).copyMemory(
          from: source.address + origin * rowBytes, byteCount: rowBytes)
      }
    }
  }
}

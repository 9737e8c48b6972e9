internal import Numerics

/// Making sparse weights, and moving their rows. Host memory only.
extension SparseWeight {
  package enum Form: Sendable {
    case twoOfFour
    /// Any number a row.
    case rows
  }

  /// The weight with its zeros left out.
  ///
  /// - Returns: nil for a store that has no sparse form: another format, an order of its own, or outlier columns.
  /// - Throws: `maskRun` for 2:4 where more than two of a run of four are not zero, or a row that is no whole runs.
  package static func packing(
    _ store: LinearWeight.Store, as form: Form
  ) throws(StoreError) -> SparseWeight? {
    switch store {
    case .dense(let weight):
      let size = weight.dataType.byteCount
      let rows = try KeptRows(store, form)
      let kept = unsafe HostTensor.make(weight.dataType, Shape(rows.count)) { bytes in
        guard let target = bytes.baseAddress else { return }
        var place = 0
        for row in 0..<store.outputs {
          for input in rows.inputs(row) {
            unsafe (target + place * size).copyMemory(
              from: weight.view.address + (row * store.inputs + Int(input)) * size, byteCount: size)
            place += 1
          }
        }
      }
      return try rows.weight(.floats(kept), starts: rows.ends.dropLast().map { Int64($0) })
    case .integer(let weight):
      guard case .natural = weight.order, weight.outliers == nil else { return nil }
      let rows = try KeptRows(store, form)
      var words: [UInt32] = []
      var starts: [Int64] = []
      for row in 0..<store.outputs {
        let codes = weight.codes(ofRow: row)
        starts.append(Int64(words.count))
        words += PackedCodes.pack(rows.inputs(row).map { codes[Int($0)] }, bits: weight.bits)
      }
      return try rows.weight(
        .codes(
          SparseCodes(
            bits: weight.bits, groupSize: weight.groupSize,
            words: HostTensor.copy(words, .int32, Shape(words.count)), scales: weight.scales,
            zero: weight.zero, activations: weight.activations)), starts: starts)
    case .float8, .codebook, .blocks, .spqr, .sparse, .placed: return nil
    }
  }

  /// Output `i` is the old output `order[i]`.
  func reordered(outputs order: [Int]) throws(StoreError) -> SparseWeight {
    func scaled(_ codes: SparseCodes, _ words: Tensor) -> SparseCodes {
      let zero: IntegerWeight.Zero =
        switch codes.zero {
        case .midpoint: .midpoint
        case .integers(let zeros): .integers(zeros.gatheringRows(order))
        case .reals(let zeros): .reals(zeros.gatheringRows(order))
        }
      return SparseCodes(
        bits: codes.bits, groupSize: codes.groupSize, words: words,
        scales: codes.scales.gatheringRows(order), zero: zero, activations: codes.activations)
    }
    let (moved, starts): (Tensor, Tensor?)
    switch (pattern, values) {
    case (.twoOfFour, .floats(let kept)): (moved, starts) = (kept.gatheringRows(order), nil)
    case (.twoOfFour, .codes(let codes)): (moved, starts) = (codes.words.gatheringRows(order), nil)
    case (.rows, .floats(let kept)): (moved, starts) = gathered(kept, order)
    case (.rows, .codes(let codes)): (moved, starts) = gathered(codes.words, order)
    }
    let values: Values =
      if case .codes(let codes) = values { .codes(scaled(codes, moved)) } else { .floats(moved) }
    return try SparseWeight(
      outputs: order.count, inputs: inputs, mask: mask.gatheringRows(order),
      pattern: starts.map { .rows(starts: $0) } ?? .twoOfFour, values: values)
  }

  /// Rows of any length in another order, one behind the other, and where each begins.
  private func gathered(_ source: Tensor, _ order: [Int]) -> (Tensor, Tensor) {
    let counts = order.map { units(keptCount(row: $0)) }
    let size = source.dataType.byteCount
    let moved = unsafe HostTensor.make(source.dataType, Shape(counts.reduce(0, +))) { bytes in
      guard var target = bytes.baseAddress else { return }
      for (place, row) in order.enumerated() {
        unsafe target.copyMemory(
          from: source.view.address + start(row: row) * size, byteCount: counts[place] * size)
        unsafe target += counts[place] * size
      }
    }
    var starts: [Int64] = []
    var next = 0
    for count in counts {
      starts.append(Int64(next))
      next += count
    }
    return (moved, HostTensor.copy(starts, .int64, Shape(starts.count)))
  }
}

/// Which inputs each row keeps.
private struct KeptRows {
  let outputs: Int
  let inputs: Int
  let form: SparseWeight.Form
  /// Ascending in a row, rows one behind the other.
  private(set) var kept: [Int32] = []
  /// Row `n` owns `ends[n]..<ends[n + 1]`.
  private(set) var ends = [0]

  var count: Int { kept.count }

  init(_ store: LinearWeight.Store, _ form: SparseWeight.Form) throws(StoreError) {
    (outputs, inputs, self.form) = (store.outputs, store.inputs, form)
    if case .twoOfFour = form, inputs % 4 != 0 { throw .groupSize(4, inputs: inputs) }
    var line = [Float](repeating: 0, count: inputs)
    for row in 0..<outputs {
      unsafe line.withUnsafeMutableBufferPointer { unsafe store.copyRow(row, into: $0) }
      switch form {
      case .rows:
        for input in 0..<inputs where line[input] != 0 { kept.append(Int32(input)) }
      case .twoOfFour:
        for run in stride(from: 0, to: inputs, by: 4) { try keepTwo(row, run, line) }
      }
      ends.append(kept.count)
    }
  }

  /// Two of a run of four: those that are not zero, and the first others.
  private mutating func keepTwo(_ row: Int, _ run: Int, _ line: [Float]) throws(StoreError) {
    let count = (0..<4).count { line[run + $0] != 0 }
    guard count <= 2 else { throw .maskRun(row: row, input: run, kept: count) }
    var fill = 2 - count
    for input in run..<run + 4 {
      if line[input] == 0 {
        if fill == 0 { continue }
        fill -= 1
      }
      kept.append(Int32(input))
    }
  }

  func inputs(_ row: Int) -> ArraySlice<Int32> { kept[ends[row]..<ends[row + 1]] }

  /// The weight of these rows; `values` lie one row behind the other.
  func weight(_ values: SparseWeight.Values, starts: [Int64]) throws(StoreError) -> SparseWeight {
    let width = (inputs + 7) / 8
    var mask = [UInt8](repeating: 0, count: outputs * width)
    for row in 0..<outputs {
      for input in inputs(row) { mask[row * width + Int(input) / 8] |= 1 << UInt8(input % 8) }
    }
    let bits = HostTensor.copy(mask, .uint8, Shape(outputs, width))
    switch form {
    case .rows:
      return try SparseWeight(
        outputs: outputs, inputs: inputs, mask: bits,
        pattern: .rows(starts: HostTensor.copy(starts, .int64, Shape(outputs))), values: values)
    case .twoOfFour:
      return try SparseWeight(
        outputs: outputs, inputs: inputs, mask: bits, pattern: .twoOfFour, values: squared(values))
    }
  }

  private func squared(_ values: SparseWeight.Values) -> SparseWeight.Values {
    func matrix(_ tensor: Tensor, _ columns: Int) -> Tensor {
      Tensor(storage: tensor.storage, shape: Shape(outputs, columns), dataType: tensor.dataType)
    }
    switch values {
    case .floats(let kept): return .floats(matrix(kept, inputs / 2))
    case .codes(let codes):
      let words = matrix(codes.words, PackedCodes.wordCount(inputs / 2, bits: codes.bits))
      return .codes(
        SparseCodes(
          bits: codes.bits, groupSize: codes.groupSize, words: words, scales: codes.scales,
          zero: codes.zero, activations: codes.activations))
    }
  }
}

import Compute
import Numerics
import TestSupport
import Testing

/// Every store's rows against the formula of its format, written out again here in double precision.
@Suite struct StoreTests {
  @Test(arguments: [2, 3, 4, 8], [16, 48]) func `integer rows`(bits: Int, groupSize: Int) throws {
    var random = SeededGenerator(seed: UInt64(bits * 100 + groupSize))
    let (outputs, inputs) = (5, 96)
    let groups = inputs / groupSize
    let codes = random.codes(outputs * inputs, bits: bits)
    let scales = (0..<outputs * groups).map { _ in BFloat16(random.float(0.01, 2)) }
    let zeros = random.codes(outputs * groups, bits: bits)
    let reals = (0..<outputs * groups).map { _ in random.float(-1, 16) }
    let scaleTensor = HostTensor.copy(scales.map(\.bitPattern), .bfloat16, Shape(outputs, groups))
    let kinds: [(IntegerWeight.Zero, (Int) -> Double)] = [
      (.midpoint, { _ in Double(1 << (bits - 1)) }),
      (.integers(HostTensor.copy(zeros, .uint8, Shape(outputs, groups))), { Double(zeros[$0]) }),
      (.reals(HostTensor.copy(reals, .float32, Shape(outputs, groups))), { Double(reals[$0]) }),
    ]
    for (zero, value) in kinds {
      let weight = try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize,
        codes: packed(codes, outputs, inputs, bits), scales: scaleTensor, zero: zero)
      try weight.validateValues()
      let found = LinearWeight.Store.integer(weight).dequantized()
      for index in found.indices {
        let group = index / inputs * groups + index % inputs / groupSize
        let expected = Double(scales[group].float) * (Double(codes[index]) - value(group))
        #expect(abs(Double(found[index]) - expected) <= abs(expected) * 0x1p-23 + 1e-6)
      }
    }
  }

  /// Rows of 37, which fill no whole word; one of zeros.
  @Test(arguments: [DataType.float32, .float16, .bfloat16])
  func `rounding while loading is by the largest of each row`(_ type: DataType) throws {
    var random = SeededGenerator(seed: 11)
    let (outputs, inputs) = (7, 37)
    var values = random.floats(outputs * inputs, -3, 3)
    for index in 2 * inputs..<3 * inputs { values[index] = 0 }
    let weight: Tensor
    switch type {
    case .float16:
      weight = HostTensor.copy(values.map { Float16($0).bitPattern }, type, Shape(outputs, inputs))
    case .bfloat16:
      weight = HostTensor.copy(values.map { BFloat16($0).bitPattern }, type, Shape(outputs, inputs))
    default: weight = HostTensor.copy(values, type, Shape(outputs, inputs))
    }
    let store = try LoadQuantization.llmInt8.store(of: weight)
    guard case .integer(let codes) = store else {
      Issue.record("\(store.summary)")
      return
    }
    try codes.validateValues()
    #expect(codes.activations == .token(outlierThreshold: 6) && store.roundsActivations)
    #expect(store.byteCount == LoadQuantization.llmInt8.byteCount(outputs: outputs, inputs: inputs))
    let found = store.dequantized()
    for row in 0..<outputs {
      let stored = (0..<inputs).map { Double(weight.float(at: row * inputs + $0)) }
      let scale = (stored.map(abs).max() ?? 0) / 127
      for (column, value) in stored.enumerated() {
        let expected = scale > 0 ? (value / scale).rounded(.toNearestOrEven) * scale : 0
        #expect(abs(Double(found[row * inputs + column]) - expected) <= scale * 0x1p-15)
      }
    }
  }

  @Test func `rows too small for a scale become zeros`() throws {
    let tiny = 5 * Float.leastNonzeroMagnitude
    let weight = HostTensor.copy([0, tiny, -tiny, 127], .float32, Shape(2, 2))
    #expect(try LoadQuantization.llmInt8.store(of: weight).dequantized() == [0, 0, 0, 127])
  }

  @Test func `halves are rounded to even`() throws {
    let weight = HostTensor.copy(
      [-127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5, 127] as [Float], .float32, Shape(1, 10))
    #expect(
      try LoadQuantization.llmInt8.store(of: weight).dequantized()
        == [-127, 0, 2, 2, 0, -2, -2, 126, -126, 127])
  }

  @Test func `a weight that is no number is not rounded`() throws {
    let weight = HostTensor.copy([1, 2, .nan, 4] as [Float], .float32, Shape(2, 2))
    #expect(throws: StoreError.notFinite(operand: "weight", index: 2)) {
      try LoadQuantization.llmInt8.store(of: weight)
    }
  }

  @Test func `act-order gives the same rows sorted by group`() throws {
    var random = SeededGenerator(seed: 7)
    let (outputs, inputs, groupSize) = (6, 64, 16)
    let order = random.permutation(inputs)
    let index = order.map { Int32($0 / groupSize) }
    let outliers = OutlierColumns(
      indices: HostTensor.copy([3, 40] as [Int32], .int32, Shape(2)),
      columns: HostTensor.copy((0..<12).map { Float($0) }, .float32, Shape(outputs, 2)))
    let weight = try IntegerWeight(
      outputs: outputs, inputs: inputs, bits: 4, groupSize: groupSize,
      codes: packed(random.codes(outputs * inputs, bits: 4), outputs, inputs, 4),
      scales: HostTensor.copy(
        (0..<24).map { _ in random.float(0.1, 1).float16Bits }, .float16, Shape(outputs, 4)),
      zero: .integers(HostTensor.copy(random.codes(24, bits: 4), .uint8, Shape(outputs, 4))),
      order: .grouped(HostTensor.copy(index, .int32, Shape(inputs))), outliers: outliers)
    try weight.validateValues()
    let sorted = try weight.sortedByGroup()
    try sorted.validateValues()
    guard case .permuted = sorted.order else { throw Unexpected() }
    let found = LinearWeight.Store.integer(sorted).dequantized()
    #expect(found == LinearWeight.Store.integer(weight).dequantized())
    for row in 0..<outputs {
      #expect(found[row * inputs + 3] == Float(2 * row))
      #expect(found[row * inputs + 40] == Float(2 * row + 1))
    }
  }

  @Test func `float8 blocks at the edges`() throws {
    var random = SeededGenerator(seed: 11)
    let (outputs, inputs) = (5, 40)
    let codes = (0..<outputs * inputs).map { _ in UInt8(random.next() % 127) }
    let scales = (0..<9).map { _ in random.float(0.1, 1) }
    let weight = try Float8Weight(
      outputs: outputs, inputs: inputs, codes: HostTensor.copy(codes, .float8E4M3, Shape(outputs, inputs)),
      scales: HostTensor.copy(scales, .float32, Shape(3, 3)), blockRows: 2, blockColumns: 16)
    try weight.validateValues()
    let found = LinearWeight.Store.float8(weight).dequantized()
    for row in 0..<outputs {
      for column in 0..<inputs {
        let code = Float8E4M3(bitPattern: codes[row * inputs + column]).float
        #expect(found[row * inputs + column] == code * scales[row / 2 * 3 + column / 16])
      }
    }
  }

  @Test func `codebook and blocks`() throws {
    var random = SeededGenerator(seed: 13)
    let codes = random.codes(2 * 64, bits: 4)
    let table = (0..<16).map { Float($0) * 0.5 - 3 }
    let weight = try CodebookWeight(
      outputs: 2, inputs: 64, codes: packed(codes, 2, 64, 4),
      table: HostTensor.copy(table, .float32, Shape(16)), groupSize: 32,
      scales: HostTensor.copy([1, 2, 3, 4] as [Float], .float32, Shape(2, 2)))
    try weight.validateValues()
    let found = LinearWeight.Store.codebook(weight).dequantized()
    for index in found.indices { #expect(found[index] == table[Int(codes[index])] * Float(index / 32 + 1)) }

    let values = (0..<128).map { _ in random.float(-1, 1) }
    guard let bytes = GGMLType.q80.encode(values), let decoded = GGMLType.q80.decode(bytes) else {
      throw Unexpected()
    }
    let blocks = try BlockWeight(
      outputs: 2, inputs: 64, type: .q80, blocks: HostTensor.copy(bytes, .uint8, Shape(2, 68)))
    #expect(LinearWeight.Store.blocks(blocks).dequantized() == decoded)
    #expect(LinearWeight.Store.blocks(blocks).averageBits == 8.5)
  }

  @Test func `SpQR statistics, order and outliers`() throws {
    var random = SeededGenerator(seed: 17)
    let (outputs, inputs) = (3, 32)
    let codes = random.codes(outputs * inputs, bits: 3)
    let (scaleCodes, zeroCodes) = (random.codes(6, bits: 3), random.codes(6, bits: 3))
    func grid(_ low: Float) -> ([Float], [Float], SpQRWeight.Grid) {
      let scale = (0..<4).map { _ in random.float(0.1, 0.5) }
      let zero = (0..<4).map { _ in random.float(low, 0) }
      return (
        scale, zero,
        SpQRWeight.Grid(
          scale: HostTensor.copy(scale, .float32, Shape(2, 2)),
          zero: HostTensor.copy(zero, .float32, Shape(2, 2)))
      )
    }
    let (ss, sz, scaleGrid) = grid(-4)
    let (zs, zz, zeroGrid) = grid(-8)
    let order = random.permutation(inputs)
    let weight = try SpQRWeight(
      outputs: outputs, inputs: inputs, bits: 3, groupSize: 16, blockRows: 2,
      codes: packed(codes, outputs, inputs, 3), statisticBits: 3,
      scaleCodes: packed(scaleCodes, outputs, 2, 3), zeroCodes: packed(zeroCodes, outputs, 2, 3),
      scaleGrid: scaleGrid, zeroGrid: zeroGrid,
      outliers: .init(
        rowStarts: HostTensor.copy([0, 1, 1, 3] as [Int32], .int32, Shape(4)),
        columns: HostTensor.copy([5, 0, 31] as [Int32], .int32, Shape(3)),
        values: HostTensor.copy([10, 20, 30] as [Float], .float32, Shape(3))),
      order: HostTensor.copy(order.map { Int32($0) }, .int32, Shape(inputs)))
    try weight.validateValues()
    let found = LinearWeight.Store.spqr(weight).dequantized()
    for row in 0..<outputs {
      for column in 0..<inputs {
        let (group, block) = (row * 2 + column / 16, row / 2 * 2 + column / 16)
        let scale = ss[block] * (Float(scaleCodes[group]) - sz[block])
        let zero = zs[block] * (Float(zeroCodes[group]) - zz[block])
        var expected = scale * (Float(codes[row * inputs + column]) - zero)
        switch (row, column) {
        case (0, 5): expected = 10
        case (2, 0): expected = 20
        case (2, 31): expected = 30
        default: break
        }
        #expect(found[row * inputs + order[column]] == expected)
      }
    }
  }
}

struct Unexpected: Error {}

/// Codes of `[rows, columns]` as the words of a store.
func packed(_ codes: [UInt8], _ rows: Int, _ columns: Int, _ bits: Int) -> Tensor {
  let words = (0..<rows).flatMap { row in
    PackedCodes.pack([UInt8](codes[row * columns..<(row + 1) * columns]), bits: bits)
  }
  return HostTensor.copy(words, .int32, Shape(rows, PackedCodes.wordCount(columns, bits: bits)))
}

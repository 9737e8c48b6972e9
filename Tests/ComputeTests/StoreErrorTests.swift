import Compute
import Numerics
import Testing

/// Each complaint of the stores, from parts that are wrong in that one way.
@Suite struct StoreErrorTests {
  private func words(_ rows: Int, _ columns: Int) -> Tensor { zeros(.int32, rows, columns) }

  private func zeros(_ type: DataType, _ shape: Int...) -> Tensor {
    let shape = Shape(shape)
    return HostTensor.copy([UInt8](repeating: 0, count: shape.elementCount * type.byteCount), type, shape)
  }

  private func integer(
    bits: Int = 4, groupSize: Int = 16, codes: Tensor? = nil, scales: Tensor? = nil,
    zero: IntegerWeight.Zero = .midpoint, order: IntegerWeight.Order = .natural,
    outliers: OutlierColumns? = nil
  ) throws(StoreError) -> IntegerWeight {
    let weight = try IntegerWeight(
      outputs: 2, inputs: 32, bits: bits, groupSize: groupSize, codes: codes ?? words(2, 4),
      scales: scales ?? zeros(.float16, 2, 2), zero: zero, order: order, outliers: outliers)
    try weight.validateValues()
    return weight
  }

  @Test func `integer weights`() throws {
    _ = try integer()
    #expect(throws: StoreError.bits(5, supported: [2, 3, 4, 8])) { try integer(bits: 5) }
    #expect(throws: StoreError.groupSize(24, inputs: 32)) { try integer(groupSize: 24) }
    #expect(throws: StoreError.groupSize(0, inputs: 32)) { try integer(groupSize: 0) }
    #expect(throws: StoreError.shape(operand: "codes", found: [2, 3], expected: [2, 4])) {
      try integer(codes: words(2, 3))
    }
    #expect(throws: StoreError.shape(operand: "scales", found: [2, 1], expected: [2, 2])) {
      try integer(scales: zeros(.float16, 2, 1))
    }
    #expect(
      throws: StoreError.type(
        operand: "scales", found: .int8, supported: [.float16, .bfloat16, .float32])
    ) { try integer(scales: zeros(.int8, 2, 2)) }
    let bad = HostTensor.copy([1, .nan, 1, 1] as [Float], .float32, Shape(2, 2))
    #expect(throws: StoreError.notFinite(operand: "scales", index: 1)) { try integer(scales: bad) }
    let high = HostTensor.copy([0, 0, 16, 0] as [UInt8], .uint8, Shape(2, 2))
    #expect(throws: StoreError.indexOutOfRange(operand: "zeros", index: 2, value: 16, limit: 16)) {
      try integer(zero: .integers(high))
    }
    let infinite = HostTensor.copy([0, 0, 0, .infinity] as [Float], .float32, Shape(2, 2))
    #expect(throws: StoreError.notFinite(operand: "zeros", index: 3)) {
      try integer(zero: .reals(infinite))
    }
  }

  @Test func `act-order and permutations`() {
    func index(_ change: (inout [Int32]) -> Void) -> Tensor {
      var values = (0..<32).map { Int32($0 / 16) }
      change(&values)
      return HostTensor.copy(values, .int32, Shape(32))
    }
    #expect(throws: StoreError.indexOutOfRange(operand: "groupIndex", index: 4, value: 2, limit: 2)) {
      try integer(order: .grouped(index { $0[4] = 2 }))
    }
    #expect(throws: StoreError.indexOutOfRange(operand: "groupIndex", index: 0, value: -1, limit: 2)) {
      try integer(order: .grouped(index { $0[0] = -1 }))
    }
    #expect(throws: StoreError.unevenGroup(group: 0, count: 15, expected: 16)) {
      try integer(order: .grouped(index { $0[3] = 1 }))
    }
    #expect(throws: StoreError.repeated(operand: "order", index: 1, value: 0)) {
      try integer(order: .permuted(index { _ in }))
    }
  }

  @Test func `outlier columns`() {
    func outliers(_ indices: [Int32], _ columns: Tensor) -> OutlierColumns {
      OutlierColumns(indices: HostTensor.copy(indices, .int32, Shape(indices.count)), columns: columns)
    }
    #expect(throws: StoreError.notAscending(operand: "outlier indices", index: 1)) {
      try integer(outliers: outliers([5, 5], zeros(.float16, 2, 2)))
    }
    #expect(throws: StoreError.indexOutOfRange(operand: "outlier indices", index: 1, value: 32, limit: 32)) {
      try integer(outliers: outliers([5, 32], zeros(.float16, 2, 2)))
    }
    #expect(throws: StoreError.shape(operand: "outlier columns", found: [2, 1], expected: [2, 2])) {
      try integer(outliers: outliers([5, 6], zeros(.float16, 2, 1)))
    }
  }

  @Test func `other stores`() throws {
    #expect(throws: StoreError.partialBlock(inputs: 48, block: 32)) {
      try BlockWeight(outputs: 1, inputs: 48, type: .q40, blocks: zeros(.uint8, 1, 27))
    }
    #expect(throws: StoreError.notQuantised(.f16)) {
      try BlockWeight(outputs: 1, inputs: 32, type: .f16, blocks: zeros(.uint8, 1, 64))
    }
    let float8 = try Float8Weight(
      outputs: 1, inputs: 4, codes: HostTensor.copy([0, 0xFF, 0, 0] as [UInt8], .float8E4M3, Shape(1, 4)),
      scales: HostTensor.copy([1] as [Float], .float32, Shape(1, 1)), blockRows: 1, blockColumns: 4)
    #expect(throws: StoreError.notFinite(operand: "codes", index: 1)) { try float8.validateValues() }
    #expect(throws: StoreError.shape(operand: "table", found: [8], expected: [16])) {
      try CodebookWeight(
        outputs: 1, inputs: 64, codes: words(1, 8), table: zeros(.float32, 8), groupSize: 64,
        scales: zeros(.float32, 1, 1))
    }
    #expect(throws: StoreError.shape(operand: "bias", found: [3], expected: [2])) {
      try LinearWeight(.integer(try integer()), bias: zeros(.float32, 3))
    }
    #expect(throws: StoreError.shape(operand: "B of the correction", found: [2, 3], expected: [2, 4])) {
      try LinearWeight(
        .integer(try integer()),
        correction: LowRankCorrection(a: zeros(.float32, 4, 32), b: zeros(.float32, 2, 3)))
    }
  }

  @Test func `SpQR rows`() throws {
    func weight(_ starts: [Int32], _ columns: [Int32]) throws(StoreError) {
      let grid = SpQRWeight.Grid(scale: zeros(.float16, 1, 2), zero: zeros(.float16, 1, 2))
      try SpQRWeight(
        outputs: 2, inputs: 32, bits: 3, groupSize: 16, blockRows: 16, codes: words(2, 3),
        statisticBits: 3, scaleCodes: words(2, 1), zeroCodes: words(2, 1), scaleGrid: grid, zeroGrid: grid,
        outliers: .init(
          rowStarts: HostTensor.copy(starts, .int32, Shape(starts.count)),
          columns: HostTensor.copy(columns, .int32, Shape(columns.count)),
          values: zeros(.float16, columns.count))
      ).validateValues()
    }
    try weight([0, 1, 2], [31, 0])
    #expect(throws: StoreError.indexOutOfRange(operand: "outlier columns", index: 0, value: 32, limit: 32)) {
      try weight([0, 1, 2], [32, 0])
    }
    #expect(throws: StoreError.notAscending(operand: "outlier row starts", index: 2)) {
      try weight([0, 2, 1], [1, 0])
    }
    #expect(throws: StoreError.shape(operand: "outlier values", found: [2], expected: [1])) {
      try weight([0, 1, 1], [1, 0])
    }
    #expect(throws: StoreError.shape(operand: "outlier row starts", found: [2], expected: [3])) {
      try weight([0, 2], [1, 0])
    }
  }
}

import Compute
import Numerics
import TestSupport
import Testing

/// Sparse stores against the dense weights they were made of, and against masks written out by hand.
@Suite struct SparseWeightTests {
  /// Random weights of which about `density` are not zero; never more than two of a run where `pairs`.
  static func pruned(
    _ random: inout SeededGenerator, _ rows: Int, _ columns: Int, density: Float, pairs: Bool
  ) -> [Float] {
    (0..<rows * columns / (pairs ? 4 : 1)).flatMap { _ -> [Float] in
      guard pairs else { return [random.float(0, 1) < density ? random.float(-1, 1) : 0] }
      var run: [Float] = [0, 0, 0, 0]
      for place in random.permutation(4).prefix(Int(random.next() % 4))
      where run.count(where: { $0 != 0 }) < 2 {
        run[place] = random.float(-1, 1)
      }
      return run
    }
  }

  static func tensor(_ values: [Float], _ type: DataType, _ rows: Int) -> Tensor {
    let shape = Shape(rows, values.count / rows)
    return switch type {
    case .float16: HostTensor.copy(values.map(\.float16Bits), type, shape)
    case .bfloat16: HostTensor.copy(values.map { BFloat16($0).bitPattern }, type, shape)
    default: HostTensor.copy(values, .float32, shape)
    }
  }

  @Test(arguments: [SparseWeight.Form.twoOfFour, .rows], [DataType.bfloat16, .float16, .float32])
  func `a packed weight stands for the dense one`(_ form: SparseWeight.Form, _ type: DataType) throws {
    for columns in [4, 36, 64, 100] {
      var random = SeededGenerator(seed: UInt64(columns))
      let pairs = if case .twoOfFour = form { true } else { false }
      let values = Self.pruned(&random, 7, columns, density: 0.4, pairs: pairs)
      let dense = LinearWeight.Store.dense(Self.tensor(values, type, 7))
      let sparse = try #require(try SparseWeight.packing(dense, as: form))
      try sparse.validateValues()
      let store = LinearWeight.Store.sparse(sparse)
      #expect(store.dequantized() == dense.dequantized())
      if pairs {
        // Half the values, and one bit a weight in whole bytes.
        let bytes = 7 * columns / 2 * type.byteCount + 7 * ((columns + 7) / 8)
        #expect(store.byteCount == bytes)
      } else {
        let kept = dense.dequantized().count { $0 != 0 }
        let bytes = kept * type.byteCount + 7 * ((columns + 7) / 8) + 7 * 8
        #expect(store.byteCount == bytes)
      }
      let order = [6, 0, 3, 5, 1, 4, 2]
      let moved = try #require(store.reordered(outputs: order))
      try moved.validateValues()
      let all = dense.dequantized()
      let wanted = order.flatMap { all[$0 * columns..<($0 + 1) * columns] }
      #expect(moved.dequantized() == wanted)
    }
  }

  @Test(arguments: [SparseWeight.Form.twoOfFour, .rows], [2, 3, 4, 8])
  func `codes of pruned weights`(_ form: SparseWeight.Form, _ bits: Int) throws {
    for zeros in [0, 1, 2] {
      var random = SeededGenerator(seed: UInt64(bits * 10 + zeros))
      let (rows, columns, groupSize) = (6, 96, 32)
      let groups = columns / groupSize
      let pairs = if case .twoOfFour = form { true } else { false }
      let values = Self.pruned(&random, rows, columns, density: 0.5, pairs: pairs)
      let zero = random.codes(rows * groups, bits: bits)
      // A pruned weight has the code of its group's zero.
      let codes = values.indices.map { index -> UInt8 in
        let group = index / columns * groups + index % columns / groupSize
        let none = zeros == 0 ? UInt8(1 << (bits - 1)) : zero[group]
        return values[index] == 0 ? none : UInt8(random.next() % (1 << UInt64(bits)))
      }
      let kind: IntegerWeight.Zero =
        switch zeros {
        case 0: .midpoint
        case 1: .integers(HostTensor.copy(zero, .uint8, Shape(rows, groups)))
        default: .reals(HostTensor.copy(zero.map { Float($0) }, .float32, Shape(rows, groups)))
        }
      let dense = try IntegerWeight(
        outputs: rows, inputs: columns, bits: bits, groupSize: groupSize,
        codes: packed(codes, rows, columns, bits),
        scales: HostTensor.copy(random.floats(rows * groups, 0.1, 1), .float32, Shape(rows, groups)),
        zero: kind)
      let sparse = try #require(try SparseWeight.packing(.integer(dense), as: form))
      try sparse.validateValues()
      #expect(
        LinearWeight.Store.sparse(sparse).dequantized() == LinearWeight.Store.integer(dense).dequantized())
      let order = [5, 2, 0, 4, 1, 3]
      let moved = try #require(LinearWeight.Store.sparse(sparse).reordered(outputs: order))
      try moved.validateValues()
      let all = LinearWeight.Store.integer(dense).dequantized()
      let wanted = order.flatMap { all[$0 * columns..<($0 + 1) * columns] }
      #expect(moved.dequantized() == wanted)
    }
  }

  @Test func `the mask has the lowest bit first`() throws {
    let values: [Float] = [0, 5, 0, 6, 7, 0, 0, 8, 0, 0, 0, 9]
    let dense = LinearWeight.Store.dense(HostTensor.copy(values, .float32, Shape(1, 12)))
    let pairs = try #require(try SparseWeight.packing(dense, as: .twoOfFour))
    // The last run holds one weight, and a zero at the first other place.
    #expect(pairs.mask.integers == [0b1001_1010, 0b0000_1001])
    guard case .floats(let kept) = pairs.values else { throw Unexpected() }
    #expect(kept.floats == [5, 6, 7, 8, 0, 9])
    let rows = try #require(try SparseWeight.packing(dense, as: .rows))
    #expect(rows.mask.integers == [0b1001_1010, 0b0000_1000])
  }

  @Test func `bits a weight`() throws {
    let (rows, columns) = (64, 2048)
    var random = SeededGenerator(seed: 3)
    let values = (0..<rows * columns / 4).flatMap { _ in
      let first = random.permutation(4)
      return (0..<4).map { first[$0] < 2 ? random.float(0.1, 1) : 0 }
    }
    let dense = LinearWeight.Store.dense(Self.tensor(values, .bfloat16, rows))
    func bits(_ store: LinearWeight.Store, _ form: SparseWeight.Form) throws -> Double {
      LinearWeight.Store.sparse(try #require(try SparseWeight.packing(store, as: form))).averageBits
    }
    #expect(try bits(dense, .twoOfFour) == 9)
    // 64 bits a row say where it begins.
    #expect(try bits(dense, .rows) == 9 + 64.0 / 2048)
    func codes(_ bits: Int, _ groupSize: Int) throws -> LinearWeight.Store {
      .integer(
        try IntegerWeight(
          outputs: rows, inputs: columns, bits: bits, groupSize: groupSize,
          codes: packed(values.map { $0 == 0 ? UInt8(1 << (bits - 1)) : 0 }, rows, columns, bits),
          scales: HostTensor.copy(
            [UInt16](repeating: 0x3C00, count: rows * columns / groupSize), .float16,
            Shape(rows, columns / groupSize))))
    }
    #expect(try bits(codes(4, 128), .twoOfFour) == 2 + 1 + 16.0 / 128)
    #expect(try bits(codes(8, 2048), .twoOfFour) == 4 + 1 + 16.0 / 2048)
  }

  // MARK: Errors

  private func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "nothing was thrown"
  }

  @Test func `a bad mask or offset is refused with its place`() throws {
    func pairs(_ mask: [UInt8], columns: Int = 12, kept: [Float] = [1, 2, 3, 4, 5, 6]) throws {
      try SparseWeight(
        outputs: 1, inputs: columns, mask: HostTensor.copy(mask, .uint8, Shape(1, mask.count)),
        pattern: .twoOfFour, values: .floats(HostTensor.copy(kept, .float32, Shape(1, kept.count)))
      ).validateValues()
    }
    try pairs([0b0011_0101, 0b1010])
    #expect(
      message { try pairs([0b0111_0101, 0b1010]) }.contains(
        "bitmask of row 0 keeps 3 of the inputs 4..<8, where 2:4 keeps 2"))
    #expect(message { try pairs([0b0011_0101, 0b1000]) }.contains("keeps 1 of the inputs 8..<12"))
    #expect(
      message { try pairs([0b0011_0101, 0b1_1010]) }.contains("bits set behind the last of its 12 inputs"))
    #expect(
      message { try pairs([0b0011_0101], columns: 12) }.contains("bitmask has shape [1, 1], expected [1, 2]"))
    #expect(
      message { try pairs([0b0011_0101, 0b1010], kept: [1, 2]) }.contains("has shape [1, 2], expected [1, 6]")
    )
    #expect(
      message { try pairs([0b0011_0101, 0b1010], kept: [1, 2, .nan, 4, 5, 6]) }.contains(
        "compressed values[2] is no finite number"))
    #expect(
      message { try pairs([0b11], columns: 6, kept: [1, 2, 3]) }.contains("4 does not divide the 6 inputs"))

    func rows(_ starts: [Int64], kept: Int = 3, last: UInt8 = 0b10) throws {
      try SparseWeight(
        outputs: 2, inputs: 10, mask: HostTensor.copy([0b11, 0, 0, last] as [UInt8], .uint8, Shape(2, 2)),
        pattern: .rows(starts: HostTensor.copy(starts, .int64, Shape(2))),
        values: .floats(HostTensor.copy([Float](repeating: 1, count: kept), .float32, Shape(kept)))
      ).validateValues()
    }
    try rows([0, 2])
    #expect(
      message { try rows([0, 3]) }.contains(
        "row_offsets[1] is 3, but the bitmask of the rows before it ends at 2"))
    #expect(message { try rows([-1, 2]) }.contains("row_offsets[0] is -1"))
    #expect(message { try rows([0, 1 << 60]) }.contains("row_offsets[1] is 1152921504606846976"))
    #expect(message { try rows([0, 2], kept: 4) }.contains("compressed values has shape [4], expected [3]"))
    #expect(message { try rows([0, 2], last: 0b110) }.contains("bits set behind the last of its 10 inputs"))
  }

  @Test func `what has no sparse form`() throws {
    let dense = LinearWeight.Store.dense(HostTensor.copy([1, 2, 3, 0] as [Float], .float32, Shape(1, 4)))
    #expect(throws: StoreError.maskRun(row: 0, input: 0, kept: 3)) {
      _ = try SparseWeight.packing(dense, as: .twoOfFour)
    }
    var random = SeededGenerator(seed: 1)
    let ordered = try IntegerWeight(
      outputs: 1, inputs: 4, bits: 4, groupSize: 4, codes: packed(random.codes(4, bits: 4), 1, 4, 4),
      scales: HostTensor.copy([1] as [Float], .float32, Shape(1, 1)),
      order: .permuted(HostTensor.copy([0, 1, 2, 3] as [Int32], .int32, Shape(4))))
    #expect(try SparseWeight.packing(.integer(ordered), as: .rows) == nil)
  }
}

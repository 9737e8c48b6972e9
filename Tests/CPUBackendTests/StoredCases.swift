import Compute
import Numerics
import TestSupport
import Testing

/// Random weights of every store, sized so that rows end inside vectors, words, blocks and runs.
struct StoredCase: CustomTestStringConvertible {
  var name: String
  var outputs: Int
  var inputs: Int
  var make: @Sendable (inout SeededGenerator) throws -> LinearWeight.Store

  var testDescription: String { "\(name) \(inputs) -> \(outputs)" }

  static let all: [StoredCase] = integers + others + sparse

  /// All in float32, and in bfloat16 those of 4 and 8 bits, some of which have a product of their own then; one more says
  /// that the rest is float32 whatever is asked for.
  static let withProductTypes: [(StoredCase, DataType)] =
    all.map { ($0, .float32) }
    + all.filter { shape in
      ["int4", "int8", "codebook"].contains { shape.name.hasPrefix($0) } || shape.hasBFloat16Values
    }
    .map { ($0, .bfloat16) }

  /// A sparse weight whose kept values are bfloat16, which meet rounded inputs in pairs.
  var hasBFloat16Values: Bool { Self.sparse.contains { $0.name == name } && name.hasSuffix("bfloat16") }

  private static let integers: [StoredCase] = [
    // (bits, inputs, group size): the fused path of 4 bits, lanes with several groups, groups across blocks,
    // one scale a row with a ragged end.
    (4, 2176, 128), (4, 1280, 256), (4, 96, 32), (4, 1088, 64), (4, 1200, 48), (4, 1035, 1035), (4, 7, 7),
    (2, 1152, 128), (2, 64, 16), (2, 530, 530), (3, 1152, 128), (3, 48, 16), (3, 1049, 1049),
    (8, 1152, 128), (8, 1100, 1100), (8, 96, 16),
  ].flatMap { bits, inputs, group in
    [0, 1, 2].map { zero in
      StoredCase(
        name: "int\(bits) g\(group) \(["midpoint", "integer zeros", "real zeros"][zero])", outputs: 29,
        inputs: inputs
      ) { random in
        .integer(
          try integer(
            &random, bits: bits, outputs: 29, inputs: inputs, groupSize: group, zero: zero,
            type: [.float16, .bfloat16, .float32][(zero + inputs) % 3]))
      }
    }
  }

  static func integer(
    _ random: inout SeededGenerator, bits: Int, outputs: Int, inputs: Int, groupSize: Int, zero: Int,
    type: DataType = .float16, order: IntegerWeight.Order = .natural, outliers: OutlierColumns? = nil,
    activations: IntegerActivations? = nil
  ) throws -> IntegerWeight {
    let groups = inputs / groupSize
    let zeros: IntegerWeight.Zero =
      switch zero {
      case 0: .midpoint
      case 1:
        .integers(HostTensor.copy(random.codes(outputs * groups, bits: bits), .uint8, Shape(outputs, groups)))
      default: .reals(scales(&random, outputs, groups, type, 0, Float(1 << bits)))
      }
    return try IntegerWeight(
      outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize,
      codes: words(&random, outputs, inputs, bits), scales: scales(&random, outputs, groups, type),
      zero: zeros, order: order, outliers: outliers, activations: activations)
  }

  private static let others: [StoredCase] = [
    StoredCase(name: "act-order", outputs: 19, inputs: 256) { random in
      let order = random.permutation(256).map { Int32($0 / 32) }
      return .integer(
        try integer(
          &random, bits: 4, outputs: 19, inputs: 256, groupSize: 32, zero: 1,
          order: .grouped(HostTensor.copy(order, .int32, Shape(256)))))
    },
    StoredCase(name: "OWQ", outputs: 19, inputs: 256) { random in
      let columns = scales(&random, 19, 3, .float16, -2, 2)
      return .integer(
        try integer(
          &random, bits: 3, outputs: 19, inputs: 256, groupSize: 256, zero: 1,
          outliers: OutlierColumns(
            indices: HostTensor.copy([0, 77, 255] as [Int32], .int32, Shape(3)), columns: columns)))
    },
    StoredCase(name: "codebook", outputs: 19, inputs: 1216) { random in
      .codebook(try codebook(&random, 19, 1216, 64))
    },
    StoredCase(name: "codebook g128", outputs: 19, inputs: 1280) { random in
      .codebook(try codebook(&random, 19, 1280, 128))
    },
    StoredCase(name: "float8 by output", outputs: 19, inputs: 1050) { random in
      .float8(try float8(&random, 19, 1050, blockRows: 1, blockColumns: 1050))
    },
    StoredCase(name: "float8 in blocks", outputs: 19, inputs: 1050) { random in
      .float8(try float8(&random, 19, 1050, blockRows: 8, blockColumns: 128))
    },
    StoredCase(name: "SpQR 3 bits", outputs: 19, inputs: 1056) { random in
      .spqr(try spqr(&random, 19, 1056, bits: 3))
    },
    StoredCase(name: "SpQR 4 bits", outputs: 19, inputs: 1056) { random in
      .spqr(try spqr(&random, 19, 1056, bits: 4))
    },
    block(.q40, 1056), block(.q80, 1056), block(.q4K, 1280), block(.q6K, 1280),
  ]

  /// Random bytes are legal blocks but for scales that are no numbers.
  private static func block(_ type: GGMLType, _ inputs: Int) -> StoredCase {
    StoredCase(name: type.name, outputs: 19, inputs: inputs) { random in
      let count = 19 * inputs / type.blockElements
      var bytes = (0..<count * type.blockBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let places: [Int] =
        switch type {
        case .q4K: [0, 2]
        case .q6K: [208]
        default: [0]
        }
      for block in 0..<count {
        for place in places {
          let bits = random.float(0.001, 0.02).float16Bits
          bytes[block * type.blockBytes + place] = UInt8(truncatingIfNeeded: bits)
          bytes[block * type.blockBytes + place + 1] = UInt8(bits >> 8)
        }
      }
      return .blocks(
        try BlockWeight(
          outputs: 19, inputs: inputs, type: type,
          blocks: HostTensor.copy(
            bytes, .uint8, Shape(19, inputs / type.blockElements * type.blockBytes))))
    }
  }

  private static func codebook(
    _ random: inout SeededGenerator, _ outputs: Int, _ inputs: Int, _ group: Int
  ) throws -> CodebookWeight {
    try CodebookWeight(
      outputs: outputs, inputs: inputs, codes: words(&random, outputs, inputs, 4),
      table: HostTensor.floats(random.floats(16)), groupSize: group,
      scales: scales(&random, outputs, inputs / group, .float32))
  }

  static func float8(
    _ random: inout SeededGenerator, _ outputs: Int, _ inputs: Int, blockRows: Int, blockColumns: Int,
    activations: Float8Weight.Activations? = nil
  ) throws -> Float8Weight {
    let codes = (0..<outputs * inputs).map { _ in UInt8(random.next() % 127) | UInt8(random.next() % 2) << 7 }
    return try Float8Weight(
      outputs: outputs, inputs: inputs, codes: HostTensor.copy(codes, .float8E4M3, Shape(outputs, inputs)),
      scales: scales(
        &random, (outputs + blockRows - 1) / blockRows, (inputs + blockColumns - 1) / blockColumns,
        .bfloat16, 0.0001, 0.01), blockRows: blockRows, blockColumns: blockColumns,
      activations: activations)
  }

  private static func spqr(
    _ random: inout SeededGenerator, _ outputs: Int, _ inputs: Int, bits: Int
  ) throws -> SpQRWeight {
    let (groups, blocks) = (inputs / 16, (outputs + 15) / 16)
    func grid(_ low: Float) -> SpQRWeight.Grid {
      SpQRWeight.Grid(
        scale: scales(&random, blocks, groups, .float16, 0.01, 0.1),
        zero: scales(&random, blocks, groups, .float16, low, 0))
    }
    var starts: [Int32] = [0]
    var columns: [Int32] = []
    for _ in 0..<outputs {
      columns += random.permutation(inputs).prefix(Int(random.next() % 9)).sorted().map { Int32($0) }
      starts.append(Int32(columns.count))
    }
    return try SpQRWeight(
      outputs: outputs, inputs: inputs, bits: bits, groupSize: 16, blockRows: 16,
      codes: words(&random, outputs, inputs, bits), statisticBits: 3,
      scaleCodes: words(&random, outputs, groups, 3), zeroCodes: words(&random, outputs, groups, 3),
      scaleGrid: grid(-2), zeroGrid: grid(-8),
      outliers: .init(
        rowStarts: HostTensor.copy(starts, .int32, Shape(outputs + 1)),
        columns: HostTensor.copy(columns, .int32, Shape(columns.count)),
        values: HostTensor.copy(random.floats(columns.count), .float32, Shape(columns.count))),
      order: HostTensor.copy(random.permutation(inputs).map { Int32($0) }, .int32, Shape(inputs)))
  }

  /// Rows that end inside vectors, masks that end inside bytes, rows with nothing kept, runs filled up with zeros.
  static let sparse: [StoredCase] =
    [2176, 36, 1044, 4].flatMap { inputs in
      [DataType.bfloat16, .float16, .float32].flatMap { type in
        [SparseWeight.Form.twoOfFour, .rows].map { sparse(inputs, type, $0) }
      }
    }
    + [13, 1049].map { sparse($0, .bfloat16, .rows) }
    + [
      (4, 1152, 128), (4, 96, 32), (4, 1036, 1036), (8, 1152, 128), (8, 1100, 1100), (3, 96, 16),
      (2, 1088, 64),
    ].flatMap { bits, inputs, group in
      [SparseWeight.Form.twoOfFour, .rows].flatMap { form in
        [0, 1, 2].map { sparse(bits, inputs, group, form, zero: $0) }
      }
    }

  private static func sparse(_ inputs: Int, _ type: DataType, _ form: SparseWeight.Form) -> StoredCase {
    StoredCase(name: "\(form) \(type.rawValue)", outputs: 19, inputs: inputs) { random in
      let values = pruned(&random, 19, inputs, form).enumerated().map { $1 ? random.float(-1, 1) : 0 }
      let shape = Shape(19, inputs)
      let dense: Tensor =
        switch type {
        case .float16: HostTensor.copy(values.map(\.float16Bits), type, shape)
        case .bfloat16: HostTensor.copy(values.map { BFloat16($0).bitPattern }, type, shape)
        default: HostTensor.copy(values, .float32, shape)
        }
      guard let weight = try SparseWeight.packing(.dense(dense), as: form) else { throw NoStore() }
      return .sparse(weight)
    }
  }

  static func sparse(
    _ bits: Int, _ inputs: Int, _ group: Int, _ form: SparseWeight.Form, zero: Int,
    activations: IntegerActivations? = nil
  ) -> StoredCase {
    StoredCase(
      name: "\(form) int\(bits) g\(group) zeros \(zero)", outputs: 19, inputs: inputs
    ) { random in
      let groups = inputs / group
      let zeros = random.codes(19 * groups, bits: bits)
      let kept = pruned(&random, 19, inputs, form)
      let codes = kept.indices.map { index -> UInt8 in
        let place = index / inputs * groups + index % inputs / group
        if kept[index] { return random.codes(1, bits: bits)[0] }
        return zero == 0 ? 1 << UInt8(bits - 1) : zeros[place]
      }
      let kind: IntegerWeight.Zero =
        switch zero {
        case 0: .midpoint
        case 1: .integers(HostTensor.copy(zeros, .uint8, Shape(19, groups)))
        default: .reals(HostTensor.copy(zeros.map { Float($0) }, .float32, Shape(19, groups)))
        }
      let rows = (0..<19).flatMap { row in
        PackedCodes.pack([UInt8](codes[row * inputs..<(row + 1) * inputs]), bits: bits)
      }
      let dense = try IntegerWeight(
        outputs: 19, inputs: inputs, bits: bits, groupSize: group,
        codes: HostTensor.copy(rows, .int32, Shape(19, PackedCodes.wordCount(inputs, bits: bits))),
        scales: scales(&random, 19, groups, .float16), zero: kind, activations: activations)
      guard let weight = try SparseWeight.packing(.integer(dense), as: form) else { throw NoStore() }
      return .sparse(weight)
    }
  }

  struct NoStore: Error {}

  /// Which weights are kept: at most two of four, or of row n about n parts in 18.
  private static func pruned(
    _ random: inout SeededGenerator, _ outputs: Int, _ inputs: Int, _ form: SparseWeight.Form
  ) -> [Bool] {
    switch form {
    case .rows:
      return (0..<outputs * inputs).map { random.next() % 18 < UInt64($0 / inputs) }
    case .twoOfFour:
      return (0..<outputs * inputs / 4).flatMap { _ -> [Bool] in
        let order = random.permutation(4)
        let count = Swift.min(2, Int(random.next() % 8))
        return (0..<4).map { order[$0] < count }
      }
    }
  }

  static func words(_ random: inout SeededGenerator, _ rows: Int, _ columns: Int, _ bits: Int) -> Tensor {
    let words = (0..<rows).flatMap { _ in PackedCodes.pack(random.codes(columns, bits: bits), bits: bits) }
    return HostTensor.copy(words, .int32, Shape(rows, PackedCodes.wordCount(columns, bits: bits)))
  }

  private static func scales(
    _ random: inout SeededGenerator, _ rows: Int, _ columns: Int, _ type: DataType, _ low: Float = 0.01,
    _ high: Float = 0.2
  ) -> Tensor {
    let values = random.floats(rows * columns, low, high)
    let shape = Shape(rows, columns)
    return switch type {
    case .float16: HostTensor.copy(values.map(\.float16Bits), type, shape)
    case .bfloat16: HostTensor.copy(values.map { BFloat16($0).bitPattern }, type, shape)
    default: HostTensor.copy(values, .float32, shape)
    }
  }
}

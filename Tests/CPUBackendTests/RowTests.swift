import CPUBackend
import Compute
import Glibc
import Numerics
import Testing

@Suite("Norm, rope, activation, embed, gather, add")
struct RowTests {
  static let shapes = [(1, 1), (3, 16), (5, 17), (2, 100), (70, 300), (0, 8)]

  @Test(
    "norm equals its formula in double precision", arguments: shapes, [DataType.float32, .float16, .bfloat16])
  func norm(_ shape: (Int, Int), _ type: DataType) throws {
    let (rows, columns) = shape
    for set in InstructionSet.available {
      for (kind, adding) in [(NormParameters.Kind.rms, false), (.rms, true), (.layer, false), (.layer, true)]
      {
        let bench = Workbench(seed: 2, instructionSet: set)
        let x = bench.random(rows * columns).map { $0 + 3 }
        let y = bench.random(rows * columns)
        let weight = bench.random(columns)
        let bias = bench.random(columns)
        let residual = try bench.matrix(x, rows, columns, stride: columns + 1)
        let output = try bench.matrix(y, rows, columns, stride: columns + 2)
        try bench.backend.norm(
          NormParameters(
            kind: kind, weight: try bench.vector(weight, type: type),
            bias: kind == .layer ? try bench.vector(bias, type: type) : nil, epsilon: 1e-5),
          residual: residual, adding: adding ? try bench.matrix(y, rows, columns) : nil, into: output)
        var sums: [Float] = x
        if adding { for index in sums.indices { sums[index] += y[index] } }
        #expect(try bench.read(residual) == sums)
        var expected: [Double] = []
        for row in 0..<rows {
          let values = sums[row * columns..<(row + 1) * columns].map(Double.init)
          let mean = kind == .layer ? values.reduce(0, +) / Double(columns) : 0
          let power = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
          for (column, value) in values.enumerated() {
            let scaled = (value - mean) / (power + Double(Float(1e-5))).squareRoot()
            let shift = kind == .layer ? Double(rounded(bias[column], to: type)) : 0
            expected.append(scaled * Double(rounded(weight[column], to: type)) + shift)
          }
        }
        // Three roundings to float32 of values up to 4: scaled value, product, sum.
        let found = try bench.read(output)
        #expect(worst(found, expected) { 0x1p-23 * (2 + abs(expected[$0])) } <= 1, "\(set) \(kind)")
      }
    }
  }

  @Test(
    "rope rotates pairs by the table's angles and leaves the rest",
    arguments: [RopeParameters.Pairing.halves, .interleaved])
  func rope(_ pairing: RopeParameters.Pairing) throws {
    for (dimension, rotary) in [(8, 8), (10, 4), (64, 64), (6, 0)] {
      let bench = Workbench(seed: 4)
      let (tokens, queryHeads, keyHeads, positions) = (5, 3, 2, 40)
      let angles = bench.random(positions * rotary / 2).map { Double($0) * 3 }
      var table: [Float] = []
      for position in 0..<positions {
        let row = angles[position * rotary / 2..<(position + 1) * rotary / 2]
        table += row.map { Float(cos($0)) } + row.map { Float(sin($0)) }
      }
      let at: [Int32] = [0, 7, 39, 3, 3]
      let query = bench.random(tokens * queryHeads * dimension)
      let key = bench.random(tokens * keyHeads * dimension)
      let fused = queryHeads * dimension + keyHeads * dimension
      let queryView = try bench.matrix(query, tokens, queryHeads * dimension, stride: fused)
      let keyView = try bench.matrix(key, tokens, keyHeads * dimension)
      try bench.backend.rope(
        RopeParameters(
          pairing: pairing, headDimension: dimension, rotaryDimension: rotary,
          table: try bench.matrix(table, positions, rotary)),
        positions: try bench.integers(at), query: queryView, key: keyView)
      for (values, heads, view) in [(query, queryHeads, queryView), (key, keyHeads, keyView)] {
        var expected = values.map(Double.init)
        for token in 0..<tokens {
          for head in 0..<heads {
            let base = (token * heads + head) * dimension
            for i in 0..<rotary / 2 {
              let (first, second) = pairing == .halves ? (i, i + rotary / 2) : (2 * i, 2 * i + 1)
              let angle = angles[Int(at[token]) * rotary / 2 + i]
              let (a, b) = (Double(values[base + first]), Double(values[base + second]))
              expected[base + first] = a * cos(angle) - b * sin(angle)
              expected[base + second] = b * cos(angle) + a * sin(angle)
            }
          }
        }
        #expect(worst(try bench.read(view), expected) { _ in 0x1p-22 } <= 1)
      }
    }
  }

  static func exact(_ activation: Activation, _ x: Double) -> Double {
    switch activation {
    case .silu: x / (1 + exp(-x))
    case .gelu: x * erfc(-x / 2.0.squareRoot()) / 2
    case .geluTanh: x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) / 2
    case .relu: max(x, 0)
    }
  }

  @Test("activations are within a few units of the last place", arguments: Activation.allCases)
  func activation(_ activation: Activation) throws {
    var x: [Float] = [0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 0.5, -0.5, 20, -20, 60, -60, 1000, -1000]
    x += stride(from: Float(-12), through: 12, by: 0.00731)
    let up = (0..<x.count).map { Float($0 % 7) - 3 }
    var reference: [UInt32] = []
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set)
      let gate = try bench.matrix(x, 1, x.count)
      let output = try bench.matrix(x, 1, x.count)
      try bench.backend.activation(activation, gate: gate, up: nil, into: output)
      let found = try bench.read(output)
      // Relative where the function is not close to 0 by cancellation, absolute (against |x|) in the negative tail.
      let expected = x.map { Self.exact(activation, Double($0)) }
      #expect(
        worst(found, expected) { 0x1p-22 * max(abs(expected[$0]), 0x1p-3 * abs(Double(x[$0])), 1e-37) } <= 1,
        "\(set)")
      if reference.isEmpty { reference = bits(found) }
      #expect(bits(found) == reference, "\(set)")
      try bench.backend.activation(activation, gate: gate, up: try bench.matrix(up, 1, x.count), into: gate)
      #expect(bits(try bench.read(gate)) == bits(zip(found, up).map { $0 * $1 }))
    }
  }

  @Test("gelu keeps its relative accuracy in the negative tail")
  func geluTail() throws {
    let x = stride(from: Float(-9), through: 0, by: 0.003).map { $0 }
    let bench = Workbench()
    let output = try bench.matrix(x, 1, x.count)
    try bench.backend.activation(.gelu, gate: try bench.matrix(x, 1, x.count), up: nil, into: output)
    let expected = x.map { Self.exact(.gelu, Double($0)) }
    #expect(worst(try bench.read(output), expected) { 4 * 0x1p-23 * abs(expected[$0]) + 1e-40 } <= 1)
  }

  @Test("infinities and NaN pass through activations as through the formulas", arguments: Activation.allCases)
  func specials(_ activation: Activation) throws {
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set)
      let view = try bench.matrix([.infinity, .nan], 1, 2)
      try bench.backend.activation(activation, gate: view, up: nil, into: view)
      let found = try bench.read(view)
      #expect(found[0] == .infinity, "\(set)")
      #expect(found[1].isNaN, "\(set)")
    }
  }

  @Test("embed and gather copy the named rows, widened", arguments: [DataType.float32, .float16, .bfloat16])
  func gather(_ type: DataType) throws {
    for set in InstructionSet.available {
      let bench = Workbench(seed: 6, instructionSet: set)
      let columns = 37
      let table = bench.random(11 * columns).map { rounded($0, to: type) }
      let positions = bench.random(5 * columns).map { rounded($0, to: type) }
      let tokens: [Int32] = [10, 0, 3, 3]
      let places: [Int32] = [0, 4, 1, 2]
      let output = try bench.matrix([Float](repeating: .nan, count: 4 * columns), 4, columns, stride: 40)
      let tableView = try bench.matrix(table, 11, columns, stride: 50, type: type)
      let (ids, at) = (try bench.integers(tokens), try bench.integers(places))
      try bench.backend.embed(tokens: ids, table: tableView, positions: nil, positionTable: nil, into: output)
      let plain = tokens.flatMap { table[Int($0) * columns..<(Int($0) + 1) * columns] }
      #expect(try bench.read(output) == plain)
      let positionView = try bench.matrix(positions, 5, columns, type: type)
      try bench.backend.embed(
        tokens: ids, table: tableView, positions: at, positionTable: positionView, into: output)
      let offsets = places.flatMap { positions[Int($0) * columns..<(Int($0) + 1) * columns] }
      #expect(try bench.read(output) == zip(plain, offsets).map { $0 + $1 })
      try bench.backend.gatherRows(tableView, rows: ids, into: output)
      #expect(try bench.read(output) == plain)
    }
  }

  @Test("every float16 and bfloat16 bit pattern is widened exactly")
  func widening() throws {
    let patterns = (0...UInt16.max).map { $0 }
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set)
      for (type, expected) in [
        (DataType.float16, patterns.map { Float(Float16(bitPattern: $0)) }),
        (.bfloat16, patterns.map { BFloat16(bitPattern: $0).float }),
      ] {
        let values = try bench.matrix([Float](repeating: 0, count: 65536), 1, 65536, type: type)
        unsafe try patterns.withUnsafeBytes { unsafe try bench.backend.upload($0, to: values) }
        let output = try bench.matrix([Float](repeating: 0, count: 65536), 1, 65536)
        try bench.backend.gatherRows(values, rows: try bench.integers([0]), into: output)
        let found = try bench.read(output)
        let wrong = found.indices.filter {
          found[$0] != expected[$0] && !(found[$0].isNaN && expected[$0].isNaN)
        }
        #expect(wrong.isEmpty, "\(set) \(type): first wrong pattern \(wrong.first ?? 0)")
      }
    }
  }

  @Test("float16 and bfloat16 caches round as Float16 and BFloat16 do")
  func narrowing() throws {
    // Attention to a single key returns its value, so the cache shows what it stored.
    let bench = Workbench(seed: 8)
    let dimension = 4096
    var values = bench.random(dimension).map {
      $0 * Float(sign: .plus, exponent: bench.random(-30..<20), significand: 1)
    }
    values.replaceSubrange(0..<6, with: [65519.99, 65520, -1e9, 5.9e-8, 2.9e-8, 0])
    for type in [DataType.float16, .bfloat16] {
      let cache = try bench.backend.makeKVCache(
        KVCacheGeometry(layers: 1, blockCount: 1, keyValueHeads: 1, headDimension: dimension, dataType: type))
      let key = try bench.matrix([Float](repeating: 0, count: dimension), 1, dimension)
      try bench.backend.appendKV(
        key: key, value: try bench.matrix(values, 1, dimension), slots: try bench.integers([0]), cache: cache,
        layer: 0)
      let output = try bench.matrix(values, 1, dimension)
      try bench.backend.attention(
        AttentionParameters(queryHeads: 1, keyValueHeads: 1, headDimension: dimension, scale: 1), query: key,
        cache: cache, layer: 0,
        batch: AttentionBatch(
          queryStarts: try bench.integers([0, 1]), contextLengths: try bench.integers([1]),
          blockTables: try bench.integers([0], rows: 1), sequenceCount: 1, maxQueryLength: 1,
          maxContextLength: 1),
        into: output)
      #expect(try bench.read(output) == values.map { rounded($0, to: type) }, "\(type)")
    }
  }

  @Test("a cache of codes keeps zero, and shows what is not finite", arguments: DataType.cacheCodes)
  func codes(_ type: DataType) throws {
    let bench = Workbench(seed: 8)
    let dimension = 40
    func attended(_ values: [Float]) throws -> [Float] {
      let cache = try bench.backend.makeKVCache(
        KVCacheGeometry(layers: 1, blockCount: 1, keyValueHeads: 1, headDimension: dimension, dataType: type))
      let key = try bench.matrix([Float](repeating: 0, count: dimension), 1, dimension)
      try bench.backend.appendKV(
        key: key, value: try bench.matrix(values, 1, dimension), slots: try bench.integers([0]), cache: cache,
        layer: 0)
      let output = try bench.matrix(values, 1, dimension)
      try bench.backend.attention(
        AttentionParameters(queryHeads: 1, keyValueHeads: 1, headDimension: dimension, scale: 1), query: key,
        cache: cache, layer: 0,
        batch: AttentionBatch(
          queryStarts: try bench.integers([0, 1]), contextLengths: try bench.integers([1]),
          blockTables: try bench.integers([0], rows: 1), sequenceCount: 1, maxQueryLength: 1,
          maxContextLength: 1),
        into: output)
      return try bench.read(output)
    }
    let zeros = [Float](repeating: 0, count: dimension)
    #expect(try attended(zeros) == zeros)
    // The largest size is kept but for the rounding of its scale, and so is each power of two below it in float8.
    var values = bench.random(dimension)
    values[7] = -4
    let found = try attended(values)
    #expect(abs(found[7] + 4) <= 4 * 0x1p-23)
    for (index, value) in values.enumerated() {
      let step = type == .int8 ? 4 / 127 : max(abs(value) / 8, 4 / 448 / 512)
      #expect(abs(found[index] - value) <= step / 2 * 1.001, "\(index)")
    }
    for bad in [Float.nan, .infinity, -.infinity] {
      values[3] = bad
      #expect(try attended(values).allSatisfy(\.isNaN), "\(bad)")
    }
    #expect(try attended([Float](repeating: .leastNonzeroMagnitude, count: dimension)) == zeros)
  }

  @Test("add sums element by element", arguments: shapes)
  func add(_ shape: (Int, Int)) throws {
    let bench = Workbench(seed: 7)
    let (x, y) = (bench.random(shape.0 * shape.1), bench.random(shape.0 * shape.1))
    let sum = try bench.matrix(x, shape.0, shape.1, stride: shape.1 + 4)
    try bench.backend.add(try bench.matrix(y, shape.0, shape.1), to: sum)
    #expect(try bench.read(sum) == zip(x, y).map { $0 + $1 })
  }
}

import CPUBackend
import Compute
import Numerics
import TestSupport
import Testing

@Suite("Quantised linear")
struct StoredLinearTests {
  /// Each store's own rows, which ComputeTests hold to the formats, multiplied in double precision.
  @Test(
    "equals a double-precision product of the dequantised weight",
    arguments: StoredCase.withProductTypes)
  func product(_ shape: StoredCase, _ type: DataType) throws {
    var random = SeededGenerator(seed: 3)
    let store = try shape.make(&random)
    let weights = store.dequantized()
    let codesInPairs = type == .bfloat16 && Self.multipliesPairs(store)
    let roundsInputs = codesInPairs || type == .bfloat16 && shape.hasBFloat16Values
    // There codes and zeros are multiplied on their own, so their sizes count and not their difference's.
    let offsets = codesInPairs ? try Self.withoutCodes(store).dequantized() : nil
    // Emulated pairs are slow; two rows stream, three share decoded weights.
    for rows in type == .bfloat16 ? [1, 2, 5] : [1, 3, 19] {
      var reference: Product?
      for set in InstructionSet.available {
        let bench = Workbench(seed: UInt64(rows), instructionSet: set, productType: type)
        let x = bench.random(rows * shape.inputs)
        let bias = bench.random(shape.outputs)
        let weight = try bench.backend.place(LinearWeight(store, bias: HostTensor.floats(bias)))
        let output = try bench.matrix(
          bench.random(rows * shape.outputs), rows, shape.outputs, stride: shape.outputs + 3)
        let before = try bench.read(output)
        let input = try bench.matrix(x, rows, shape.inputs, stride: shape.inputs + 5)
        try bench.backend.linear(input, weight, accumulate: true, into: output)
        let factors = roundsInputs ? x.map { Double(BFloat16($0).float) } : x.map(Double.init)
        let product =
          reference
          ?? Product(factors, weights, rows, shape.inputs, shape.outputs, offsets: offsets) { row, output in
            Double(bias[output]) + Double(before[row * shape.outputs + output])
          }
        reference = product
        let additions = Double(shape.inputs / 16 + 8).squareRoot()
        let ratio = worst(try bench.read(output), product.sums) { product.sizes[$0] * additions * 0x1p-23 }
        #expect(ratio <= 1, "\(set), \(rows) rows")
      }
    }
  }

  /// Whose codes are multiplied as pairs of bfloat16 when that is asked for.
  private static func multipliesPairs(_ store: LinearWeight.Store) -> Bool {
    guard case .integer(let weight) = store, weight.activations == nil else { return false }
    if case .reals = weight.zero { return false }
    let group = weight.groupSize
    return [4, 8].contains(weight.bits)
      && (group >= weight.inputs || (group >= 16 && group.nonzeroBitCount == 1))
  }

  /// The same weight with all codes 0: what its zeros alone amount to.
  private static func withoutCodes(_ store: LinearWeight.Store) throws -> LinearWeight.Store {
    guard case .integer(let weight) = store else { return store }
    let words = [UInt32](repeating: 0, count: weight.codes.shape.elementCount)
    return .integer(
      try IntegerWeight(
        outputs: weight.outputs, inputs: weight.inputs, bits: weight.bits, groupSize: weight.groupSize,
        codes: HostTensor.copy(words, .int32, weight.codes.shape), scales: weight.scales, zero: weight.zero,
        order: weight.order))
  }

  @Test(
    "a row's bits depend on no other row, thread or instruction set",
    arguments: StoredCase.withProductTypes)
  func invariance(_ shape: StoredCase, _ type: DataType) throws {
    // Emulated pairs are slow.
    let most = type == .bfloat16 ? 7 : 19
    var reference: [UInt32] = []
    var random = SeededGenerator(seed: 4)
    let store = try shape.make(&random)
    for (set, threads) in InstructionSet.available.flatMap({ set in
      (set == .best ? [1, 2] : [2]).map { (set, $0) }
    }) {
      let bench = Workbench(seed: 5, threads: threads, instructionSet: set, productType: type)
      let weight = try bench.backend.place(LinearWeight(store))
      let input = try bench.matrix(bench.random(most * shape.inputs), most, shape.inputs)
      let output = try bench.matrix(
        [Float](repeating: 0, count: most * shape.outputs), most, shape.outputs)
      for rows in set == .best ? [1, 2, 3, 4, 5, 7, most] : [1, 4, most] where rows <= most {
        for start in stride(from: 0, to: most, by: rows) {
          let range = start..<min(start + rows, most)
          try bench.backend.linear(input.rows(range), weight, accumulate: false, into: output.rows(range))
        }
        let found = bits(try bench.read(output))
        if reference.isEmpty { reference = found }
        #expect(found == reference, "\(set), \(threads) threads, \(rows) rows")
      }
    }
  }

  /// Nothing is lost by leaving out zeros: the sums are those of the dense weight, bit for bit.
  @Test(
    "a sparse weight gives the bits of the dense one",
    arguments: StoredCase.sparse.map { ($0, DataType.float32) }
      + StoredCase.sparse.filter(\.hasBFloat16Values).map { ($0, .bfloat16) })
  func sparse(_ shape: StoredCase, _ type: DataType) throws {
    var random = SeededGenerator(seed: 13)
    let store = try shape.make(&random)
    let (values, all) = (store.dequantized(), Shape(shape.outputs, shape.inputs))
    let dense =
      type == .float32
      ? HostTensor.copy(values, type, all)
      : HostTensor.copy(values.map { BFloat16($0).bitPattern }, type, all)
    for set in InstructionSet.available {
      let bench = Workbench(seed: 14, instructionSet: set, productType: type)
      let weights = try [LinearWeight(store), LinearWeight(dense: dense)].map { try bench.backend.place($0) }
      for rows in [1, 2, 5, 19] {
        let input = try bench.matrix(bench.random(rows * shape.inputs), rows, shape.inputs)
        let results = try weights.map { weight in
          let output = try bench.matrix(
            [Float](repeating: 0, count: rows * shape.outputs), rows, shape.outputs)
          try bench.backend.linear(input, weight, accumulate: false, into: output)
          return bits(try bench.read(output))
        }
        #expect(results[0] == results[1], "\(set), \(rows) rows")
      }
    }
  }

  @Test("a sparse weight against int8 activations is the dense one", arguments: [4, 8], [0, 1])
  func sparseIntegers(_ width: Int, _ zero: Int) throws {
    for form in [SparseWeight.Form.twoOfFour, .rows] {
      for rule in [IntegerActivations.token(outlierThreshold: 0.9), .tensor(scale: 0.01, zero: 3)] {
        var random = SeededGenerator(seed: 15)
        let shape = StoredCase.sparse(width, 1152, 128, form, zero: zero, activations: rule)
        guard case .sparse(let sparse) = try shape.make(&random), case .codes(let codes) = sparse.values
        else {
          throw StoredCase.NoStore()
        }
        // The same codes with zeros written out, every pruned weight as its group's zero.
        var all: [UInt32] = []
        for row in 0..<19 {
          let kept = sparse.keptInputs(row: row)
          var line = (0..<1152).map { input -> UInt8 in
            guard case .integers(let zeros) = codes.zero else { return 1 << UInt8(width - 1) }
            return UInt8(zeros.integer(at: row * 9 + input / 128))
          }
          let start = sparse.start(row: row)
          let words = (0..<PackedCodes.wordCount(kept.count, bits: width)).map {
            UInt32(truncatingIfNeeded: codes.words.integer(at: start + $0))
          }
          for (input, code) in zip(kept, PackedCodes.unpack(words, bits: width, count: kept.count)) {
            line[input] = code
          }
          all += PackedCodes.pack(line, bits: width)
        }
        let dense = try IntegerWeight(
          outputs: 19, inputs: 1152, bits: width, groupSize: 128,
          codes: HostTensor.copy(all, .int32, Shape(19, 1152 * width / 32)), scales: codes.scales,
          zero: codes.zero, activations: rule)
        for set in InstructionSet.available {
          let bench = Workbench(seed: 16, instructionSet: set)
          let input = try bench.matrix(bench.random(5 * 1152), 5, 1152)
          let results = try [LinearWeight.Store.sparse(sparse), .integer(dense)].map { store in
            let output = try bench.matrix([Float](repeating: 0, count: 95), 5, 19)
            try bench.backend.linear(
              input, bench.backend.place(LinearWeight(store)), accumulate: false, into: output)
            return bits(try bench.read(output))
          }
          #expect(results[0] == results[1], "\(set) \(form)")
        }
      }
    }
  }

  @Test("low-rank correction adds its product")
  func correction() throws {
    var random = SeededGenerator(seed: 6)
    let (rows, inputs, outputs, rank) = (5, 96, 29, 8)
    let store = LinearWeight.Store.integer(
      try StoredCase.integer(
        &random, bits: 4, outputs: outputs, inputs: inputs, groupSize: 32, zero: 1))
    let (a, b) = (random.floats(rank * inputs), random.floats(outputs * rank))
    var weights = store.dequantized()
    for n in 0..<outputs {
      for k in 0..<inputs {
        for r in 0..<rank { weights[n * inputs + k] += b[n * rank + r] * a[r * inputs + k] }
      }
    }
    let bench = Workbench(seed: 7)
    let x = bench.random(rows * inputs)
    let weight = try bench.backend.place(
      LinearWeight(
        store,
        correction: LowRankCorrection(
          a: HostTensor.copy(a, .float32, Shape(rank, inputs)),
          b: HostTensor.copy(b, .float32, Shape(outputs, rank)))))
    let output = try bench.matrix([Float](repeating: 0, count: rows * outputs), rows, outputs)
    try bench.backend.linear(
      try bench.matrix(x, rows, inputs), weight, accumulate: false, into: output)
    let product = Product(x.map(Double.init), weights, rows, inputs, outputs)
    #expect(worst(try bench.read(output), product.sums) { product.sizes[$0] * 1e-5 } <= 1)
  }

  // MARK: Rounded activations

  @Test(
    "int8 activations are rounded by the format's rule and summed exactly",
    arguments: [
      IntegerActivations.token(outlierThreshold: nil), .token(outlierThreshold: 0.8),
      .token(outlierThreshold: 0.0001), .tensor(scale: 0.01, zero: 0), .tensor(scale: 0.005, zero: 17),
    ], [1, 0])
  func integerActivations(_ activations: IntegerActivations, _ zero: Int) throws {
    for (bits, inputs, group) in [(8, 1100, 1100), (8, 1152, 128), (4, 96, 32), (8, 7, 7)] {
      var random = SeededGenerator(seed: 8)
      let (rows, outputs) = (6, 21)
      let integer = try StoredCase.integer(
        &random, bits: bits, outputs: outputs, inputs: inputs, groupSize: group, zero: zero,
        activations: activations)
      let weights = LinearWeight.Store.integer(integer).dequantized()
      var reference: (bits: [UInt32], product: Product)?
      for set in InstructionSet.available {
        let bench = Workbench(seed: 9, instructionSet: set)
        let x = bench.random(rows * inputs)
        let weight = try bench.backend.place(LinearWeight(.integer(integer)))
        let output = try bench.matrix([Float](repeating: 0, count: rows * outputs), rows, outputs)
        let input = try bench.matrix(x, rows, inputs)
        try bench.backend.linear(input, weight, accumulate: false, into: output)
        let found = try bench.read(output)
        let (expected, product) =
          reference
          ?? (
            CPUBackendTests.bits(found),
            Product(
              (0..<rows).flatMap { row in
                Self.round([Float](x[row * inputs..<(row + 1) * inputs]), activations)
              }, weights, rows, inputs, outputs)
          )
        reference = (expected, product)
        #expect(CPUBackendTests.bits(found) == expected, "\(set)")
        for row in 0..<rows {
          let one = output.rows(row..<row + 1)
          try bench.backend.linear(input.rows(row..<row + 1), weight, accumulate: false, into: one)
        }
        #expect(CPUBackendTests.bits(try bench.read(output)) == expected, "\(set) row by row")

        // Integer sums are exact; what is left is a float for each group, and for each unrounded channel, one by one.
        let unrounded = if case .token(.some) = activations { inputs } else { 0 }
        let additions = Double(inputs / group + unrounded + 8).squareRoot()
        let ratio = worst(found, product.sums) { product.sizes[$0] * additions * 0x1p-23 }
        #expect(ratio <= 1, "\(set) \(bits) bits")
      }
    }
  }

  /// The rounding rules, written out with library functions. In double precision from the code on: clipped values
  /// are all equal, and rounding them to float would add up.
  private static func round(_ x: [Float], _ rule: IntegerActivations) -> [Double] {
    switch rule {
    case .token(let threshold):
      let inside = x.filter { $0.magnitude < threshold ?? .infinity }
      let scale = (inside.map(\.magnitude).max() ?? 0) / 127
      return x.map { value in
        if value.magnitude >= threshold ?? .infinity { return Double(value) }
        return scale == 0 ? 0 : Double((value / scale).rounded(.toNearestOrEven)) * Double(scale)
      }
    case .tensor(let scale, let zero):
      return x.map { value in
        let code = (value / scale).rounded(.toNearestOrEven) + Float(zero)
        return Double(min(max(code, -128), 127) - Float(zero)) * Double(scale)
      }
    }
  }

  @Test(
    "float8 activations are rounded to E4M3",
    arguments: [Float8Weight.Activations.token, .group(size: 70), .tensor(scale: 0.001), .tensor(scale: 1)])
  func floatActivations(_ activations: Float8Weight.Activations) throws {
    var random = SeededGenerator(seed: 10)
    let (rows, inputs, outputs) = (5, 1050, 19)
    let float8 = try StoredCase.float8(
      &random, outputs, inputs, blockRows: 1, blockColumns: inputs, activations: activations)
    let weights = LinearWeight.Store.float8(float8).dequantized()
    var reference: Product?
    for set in InstructionSet.available {
      let bench = Workbench(seed: 11, instructionSet: set)
      let x = bench.random(rows * inputs)
      let weight = try bench.backend.place(LinearWeight(.float8(float8)))
      let output = try bench.matrix([Float](repeating: 0, count: rows * outputs), rows, outputs)
      try bench.backend.linear(
        try bench.matrix(x, rows, inputs), weight, accumulate: false, into: output)
      let rounded = x.indices.map { index -> Double in
        var scale: Float
        switch activations {
        case .tensor(let fixed): scale = fixed
        case .token, .group:
          let size = if case .group(let size) = activations { size } else { inputs }
          let start = index / inputs * inputs + index % inputs / size * size
          scale = (x[start..<start + size].map(\.magnitude).max() ?? 0) / 448
        }
        return Double(Float8E4M3(saturating: x[index] / scale).float * scale)
      }
      let product = reference ?? Product(rounded, weights, rows, inputs, outputs)
      reference = product
      #expect(worst(try bench.read(output), product.sums) { product.sizes[$0] * 2e-6 } <= 1, "\(set)")
    }
  }

  // MARK: Errors

  @Test("what cannot run is refused when it is placed")
  func refusals() throws {
    var random = SeededGenerator(seed: 12)
    let backend = CPUBackend(threads: 1)
    func place(_ store: LinearWeight.Store) throws { _ = try backend.place(LinearWeight(store)) }
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return "nothing was thrown"
    }
    let narrow = try StoredCase.integer(&random, bits: 4, outputs: 3, inputs: 24, groupSize: 8, zero: 0)
    #expect(message { try place(.integer(narrow)) }.contains("a group size of 8 is no multiple of 16"))
    let real = try StoredCase.integer(
      &random, bits: 8, outputs: 3, inputs: 32, groupSize: 32, zero: 2,
      activations: .token(outlierThreshold: nil))
    #expect(message { try place(.integer(real)) }.contains("zeros that are no integers"))
    let q5 = try BlockWeight(
      outputs: 1, inputs: 256, type: .q5K,
      blocks: HostTensor.copy([UInt8](repeating: 0, count: 176), .uint8, Shape(1, 176)))
    #expect(message { try place(.blocks(q5)) }.contains("no kernel for Q5_K blocks"))
    let nan = try IntegerWeight(
      outputs: 1, inputs: 32, bits: 4, groupSize: 32, codes: StoredCase.words(&random, 1, 32, 4),
      scales: HostTensor.copy([Float.nan], .float32, Shape(1, 1)))
    #expect(message { try place(.integer(nan)) }.contains("scales[0] is no finite number"))
    let grouped = try StoredCase.integer(
      &random, bits: 4, outputs: 3, inputs: 32, groupSize: 16, zero: 0,
      order: .grouped(HostTensor.copy((0..<32).map { Int32($0 % 2) }, .int32, Shape(32))))
    let bench = Workbench()
    #expect(
      message {
        try backend.linear(
          try bench.matrix(bench.random(32), 1, 32), LinearWeight(.integer(grouped)), accumulate: false,
          into: try bench.matrix([0, 0, 0], 1, 3))
      }.contains("act-order that was not placed"))
  }
}

import CPUBackend
import Compute
import Numerics
import TestSupport
import Testing

/// Products of bfloat16 pairs, on processors that have the instruction and on those that emulate it.
@Suite("bfloat16 products")
struct BFloat16ProductTests {
  /// Weights and inputs whose exponents lie where rules differ: anywhere; next to the smallest normal number; such
  /// that products and sums meet there.
  enum Range: CaseIterable { case moderate, whole, smallest, tinyProducts }

  @Test(
    "have the bits of vdpbf16ps on every build, denormals and overflow included", arguments: Range.allCases)
  func definition(_ range: Range) throws {
    var generator = SeededGenerator(seed: 3)
    let (rows, outputs) = (3, 2000)
    // One lane: inputs 0 and 1 of each of three steps.
    let inputs = 2 * 32 + 2
    let used = [0, 1, 32, 33, 64, 65]
    var x = [Float](repeating: 0, count: rows * inputs)
    var w = [Float](repeating: 0, count: outputs * inputs)
    for row in 0..<rows { for k in used { x[row * inputs + k] = Self.number(range, &generator) } }
    for row in 0..<outputs { for k in used { w[row * inputs + k] = Self.number(range, &generator) } }
    var expected: [Float] = []
    for row in 0..<rows {
      for output in 0..<outputs {
        var sum: Float = 0
        for k in stride(from: 0, to: inputs, by: 32) {
          for place in [k + 1, k] {
            sum = Self.step(x[row * inputs + place], w[output * inputs + place], sum)
          }
        }
        expected.append(0 + sum)
      }
    }
    let kinds = Set(
      expected.map { $0.isNaN ? "nan" : $0.isInfinite ? "infinite" : $0 == 0 ? "zero" : "number" })
    switch range {
    case .moderate: #expect(kinds == ["number"])
    case .whole: #expect(kinds.isSuperset(of: ["infinite", "number"]))
    case .smallest, .tinyProducts: #expect(kinds.contains("zero"))
    }
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set, productType: .bfloat16)
      let weight = LinearWeight(dense: try bench.tensor(w, Shape(outputs, inputs), type: .bfloat16))
      let output = try bench.matrix([Float](repeating: 0, count: rows * outputs), rows, outputs)
      try bench.backend.linear(
        try bench.matrix(x, rows, inputs), weight, accumulate: false, into: output)
      let found = try bench.read(output)
      let different = found.indices.filter { index in
        found[index].isNaN
          ? !expected[index].isNaN : found[index].bitPattern != expected[index].bitPattern
      }
      #expect(different.isEmpty, "\(set): \(different.count), first \(different.first ?? 0)")
    }
  }

  /// `a · b + c` as the instruction does it. The double is exact where it decides: a result is tiny if rounding it
  /// to 24 bits with any exponent leaves it below 2⁻¹²⁶.
  private static func step(_ a: Float, _ b: Float, _ c: Float) -> Float {
    func flushed(_ value: Float) -> Float {
      value.isSubnormal ? Float(sign: value.sign, exponent: 0, significand: 0) : value
    }
    let (a, b, c) = (flushed(a), flushed(b), flushed(c))
    let result = c.addingProduct(a, b)
    let exact = Double(a) * Double(b) + Double(c)
    return abs(exact) < 0x1p-126 - 0x1p-151 ? Float(sign: result.sign, exponent: 0, significand: 0) : result
  }

  private static func number(_ range: Range, _ generator: inout SeededGenerator) -> Float {
    let exponent: UInt16 =
      switch range {
      case .moderate: .random(in: 120..<136, using: &generator)
      case .whole: .random(in: 0..<255, using: &generator)
      case .smallest: .random(in: 0..<4, using: &generator)
      case .tinyProducts: .random(in: 62..<66, using: &generator)
      }
    let rest = UInt16.random(in: 0...UInt16.max, using: &generator) & 0x807F
    return BFloat16(bitPattern: exponent << 7 | rest).float
  }

  @Test("a NaN or an infinity among the inputs reaches every output of its row, and no other row")
  func special() throws {
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set, productType: .bfloat16)
      var x = [Float](repeating: 1, count: 3 * 40)
      x[40 + 7] = Float(bitPattern: 0x7F80_0001)  // rounding must not make it an infinity
      x[80 + 39] = 3.4e38  // rounds to infinity
      let weight = LinearWeight(
        dense: try bench.tensor([Float](repeating: 1, count: 5 * 40), Shape(5, 40), type: .bfloat16))
      let output = try bench.matrix([Float](repeating: 0, count: 15), 3, 5)
      try bench.backend.linear(try bench.matrix(x, 3, 40), weight, accumulate: false, into: output)
      let found = try bench.read(output)
      #expect(found[0..<5].allSatisfy { $0 == 40 }, "\(set)")
      #expect(found[5..<10].allSatisfy { $0.isNaN }, "\(set)")
      #expect(found[10..<15].allSatisfy { $0 == .infinity }, "\(set)")
    }
  }

  @Test("other weights are rounded when placed, to nearest even", arguments: [DataType.float32, .float16])
  func placing(_ type: DataType) throws {
    for set in InstructionSet.available {
      let bench = Workbench(seed: 5, instructionSet: set, productType: .bfloat16)
      let (outputs, inputs) = (7, 33)
      var values = bench.random(outputs * inputs).map { rounded($0, to: type) }
      values[0] = 1 + 0x1p-8  // halfway: to even, down
      values[1] = 1 + 3 * 0x1p-8  // halfway: to even, up
      values[2] = .nan
      let bias = try bench.tensor(bench.random(outputs), Shape(outputs), type: .float32)
      let placed = try bench.backend.place(
        LinearWeight(dense: try bench.tensor(values, Shape(outputs, inputs), type: type), bias: bias))
      guard case .dense(let tensor) = placed.store else {
        Issue.record("a dense weight became another")
        return
      }
      #expect(tensor.dataType == .bfloat16 && tensor.shape == Shape(outputs, inputs))
      #expect(placed.bias?.dataType == .float32)
      let found = unsafe [UInt16](
        UnsafeBufferPointer(
          start: tensor.view.address.assumingMemoryBound(to: UInt16.self), count: outputs * inputs))
      #expect(found == values.map { BFloat16($0).bitPattern }, "\(set)")
    }
  }

  @Test("the float32 backend leaves weights where they are")
  func untouched() throws {
    let bench = Workbench()
    let tensor = try bench.tensor([1, 2], Shape(1, 2), type: .float16)
    let weight = try bench.backend.place(LinearWeight(dense: tensor))
    guard case .dense(let placed) = weight.store else { return }
    #expect(placed.dataType == .float16 && placed.storage === tensor.storage)
  }

  @Test("an unplaced weight of another type is multiplied in float32, as the reference does")
  func tied() throws {
    var results: [[UInt32]] = []
    for product in [DataType.float32, .bfloat16] {
      let bench = Workbench(seed: 8, productType: product)
      let input = try bench.matrix(bench.random(2 * 50), 2, 50)
      let weight = LinearWeight(
        dense: try bench.tensor(bench.random(9 * 50), Shape(9, 50), type: .float16))
      let output = try bench.matrix([Float](repeating: 0, count: 18), 2, 9)
      try bench.backend.linear(input, weight, accumulate: false, into: output)
      results.append(bits(try bench.read(output)))
    }
    #expect(results[0] == results[1])
  }
}

import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Linear")
struct LinearTests {
  struct Case: CustomTestStringConvertible {
    var rows: Int
    var inputs: Int
    var outputs: Int
    var testDescription: String { "\(rows) x \(inputs) -> \(outputs)" }
  }

  static let cases = [
    Case(rows: 1, inputs: 64, outputs: 48), Case(rows: 1, inputs: 1, outputs: 1),
    Case(rows: 2, inputs: 17, outputs: 5), Case(rows: 3, inputs: 33, outputs: 7),
    Case(rows: 4, inputs: 1023, outputs: 13), Case(rows: 5, inputs: 1025, outputs: 11),
    Case(rows: 7, inputs: 2100, outputs: 97), Case(rows: 70, inputs: 31, outputs: 40),
    Case(rows: 131, inputs: 96, outputs: 25), Case(rows: 515, inputs: 20, outputs: 7),
    Case(rows: 0, inputs: 8, outputs: 8),
    Case(rows: 2, inputs: 9300, outputs: 5),
    Case(rows: 3, inputs: 2047, outputs: 8), Case(rows: 33, inputs: 2081, outputs: 14),
  ]

  /// A weight's type and what inputs are multiplied as.
  struct Arithmetic: CustomTestStringConvertible {
    var weight: DataType
    var product = DataType.float32
    var testDescription: String { "\(weight) in \(product)" }
  }

  static let arithmetics: [Arithmetic] =
    [.init(weight: .float32), .init(weight: .float16), .init(weight: .bfloat16)]
    + [.init(weight: .bfloat16, product: .bfloat16)]

  /// A double-precision product of the same rounded operands; allowed: float rounding of a sum of K terms.
  @Test("equals a double-precision product", arguments: cases, arithmetics)
  func product(_ shape: Case, _ arithmetic: Arithmetic) throws {
    let (rows, inputs, outputs) = (shape.rows, shape.inputs, shape.outputs)
    let type = arithmetic.weight
    var reference: Product?
    for set in InstructionSet.available {
      let bench = Workbench(
        seed: UInt64(rows * 7 + inputs), instructionSet: set, productType: arithmetic.product)
      let given = bench.random(rows * inputs)
      let x = given.map { rounded($0, to: arithmetic.product) }
      let w = bench.random(outputs * inputs).map { rounded($0, to: type) }
      let bias = bench.random(outputs)
      let before = bench.random(rows * outputs)
      let weight = LinearWeight(
        dense: try bench.tensor(w, Shape(outputs, inputs), type: type),
        bias: try bench.tensor(bias, Shape(outputs), type: .float32))
      let input = try bench.matrix(given, rows, inputs, stride: inputs + 3)
      let plain = try bench.matrix(before, rows, outputs, stride: outputs + 5)
      let added = try bench.matrix(before, rows, outputs)
      try bench.backend.linear(input, weight, accumulate: false, into: plain)
      try bench.backend.linear(input, weight, accumulate: true, into: added)

      let product =
        reference ?? Product(x.map(Double.init), w, rows, inputs, outputs) { Double(bias[$1]) }
      reference = product
      // Rounding errors are independent: they grow with the root of the number of additions in a lane.
      let additions = Double(inputs / 16 + 8).squareRoot()
      let allowed = { (index: Int) in product.sizes[index] * additions * 0x1p-23 }
      #expect(worst(try bench.read(plain), product.sums, allowed: allowed) <= 1, "\(set)")
      let sums = zip(product.sums, before).map { $0 + Double($1) }
      #expect(worst(try bench.read(added), sums, allowed: allowed) <= 1, "\(set)")
    }
  }
}

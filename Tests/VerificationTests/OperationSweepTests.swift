import CPUBackend
import Compute
import Numerics
import Testing
import Verification

@Suite("Operation sweep")
struct OperationSweepTests {
  @Test
  func `the portable CPU code equals the vector code`() throws {
    let sweep = OperationSweep(
      reference: CPUBackend(threads: 1), candidate: CPUBackend(threads: 2, instructionSet: .portable))
    let rows = try sweep.run()
    #expect(rows.count == OperationSweep.cases.count)
    for row in rows {
      guard case .compared(let comparison) = row.outcome else {
        Issue.record("\(row)")
        continue
      }
      #expect(comparison.worst == 0, "\(row.operation) \(row.shape)")
      #expect(comparison.elements > 0)
    }
  }

  @Test
  func `every operation has cases`() {
    #expect(Set(OperationSweep.cases.map(\.operation)) == Set(OperationName.allCases))
  }

  @Test(arguments: [DataType.bfloat16, .float16])
  func `rounding alone is within the bounds, and not far within`(_ type: DataType) throws {
    let sweep = OperationSweep(reference: CPUBackend(threads: 1), candidate: RoundingCandidate(type))
    let rows = try sweep.run()
    for row in rows { #expect(!row.isBreach, "\(row)") }
    // A bound that nothing comes near would hide errors.
    let worst = rows.map { row -> Double in
      if case .compared(let comparison) = row.outcome { comparison.worst } else { .infinity }
    }
    #expect((worst.max() ?? 0) > 0.9)
  }

  @Test(
    arguments: [
      "embed", "norm", "linear", "rope", "attention", "activation", "gatherRows", "add", "addLowRank",
    ])
  func `one wrong element in one operation is a breach of that operation only`(_ name: String) throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.fault = { operation, values in
      // Eight units of roundoff and a little more, on the last element: a kernel with a wrong tail does worse.
      if operation == name, let last = values.last { values[values.count - 1] = last * (1 + 0x1p-5) + 0x1p-5 }
    }
    // A few shapes of each operation.
    let cases = OperationName.allCases.flatMap { name in
      OperationSweep.cases.filter { $0.operation == name }.prefix(4)
    }
    let rows = try OperationSweep(reference: CPUBackend(threads: 1), candidate: candidate).run(cases)
    let broken = Set(rows.filter(\.isBreach).map(\.operation.rawValue))
    // The append is seen through attention.
    #expect(broken.subtracting(["appendKV"]) == [name])
  }

  @Test
  func `a value that is missing or not finite is a breach, an equal infinity is not`() {
    let bound = ErrorBound(relative: 1)
    func ratio(_ found: [Float], _ wanted: [Float]) -> Comparison {
      Comparison(found, against: wanted, bound: bound, type: .bfloat16)
    }
    #expect(ratio([1, .nan], [1, 2]).worst == .infinity)
    #expect(ratio([1], [1, 2]).isBreach)
    #expect(!ratio([.infinity], [.infinity]).isBreach)
    #expect(ratio([-.infinity], [.infinity]).isBreach)
    #expect(!ratio([], []).isBreach)
    let off = ratio([1, 2 + 0x1p-6, 3], [1, 2, 3])
    #expect(off.worst == 2)
    #expect(off.worstElement?.index == 1)
    #expect(off.worstElement?.candidate == 2 + 0x1p-6)
    #expect(off.maxAbsolute == 0x1p-6)
  }

  @Test
  func `a refusal is a breach with the candidate's words`() throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.refuses = true
    let rows = try OperationSweep(reference: CPUBackend(threads: 1), candidate: candidate)
      .run(OperationSweep.cases.filter { $0.operation == .add })
    #expect(rows.allSatisfy { $0.outcome == .refused("add: no such kernel") && $0.isBreach })
  }
}

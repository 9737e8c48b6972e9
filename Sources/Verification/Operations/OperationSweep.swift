package import Compute
internal import Numerics

/// Runs every case on a reference and on a candidate, and compares.
package struct OperationSweep {
  package let reference: any Backend
  package let candidate: any Backend
  private let values: CaseValues

  /// - Precondition: the reference shares the host's memory (the CPU backend).
  package init(reference: any Backend, candidate: any Backend, seed: UInt64 = 1) {
    self.reference = reference
    self.candidate = candidate
    values = CaseValues(seed: seed)
  }

  package static var cases: [OperationCase] { RowCases.all + LinearCases.all + AttentionCases.all }

  /// What one case gave on one kernel.
  package struct Row: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
      case compared(Comparison)
      /// The candidate refused the operands or failed; its words.
      case refused(String)
    }
    package var operation: OperationName
    /// The candidate's kernel; nil where it has one way only.
    package var variant: String?
    package var shape: String
    package var outcome: Outcome

    package var isBreach: Bool {
      switch outcome {
      case .compared(let comparison): comparison.isBreach
      case .refused: true
      }
    }
  }

  /// - Parameter progress: told after each case how many of how many are done.
  /// - Throws: an error of the reference, which must take every case. The candidate's are rows.
  package func run(
    _ cases: [OperationCase] = Self.cases, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(KernelError) -> [Row] {
    var rows: [Row] = []
    for (index, each) in cases.enumerated() {
      rows += try run(each)
      progress(index + 1, cases.count)
    }
    return rows
  }

  private func run(_ each: OperationCase) throws(KernelError) -> [Row] {
    let type = candidate.activationType
    func run(on backend: any Backend, absolute: Bool = false) throws(KernelError) -> [Float] {
      var bench = Bench(backend, host: reference, weightType: type, values: values)
      bench.absolute = absolute
      let found = try each.run(bench)
      return withExtendedLifetime(bench) { found }
    }
    let wanted = try run(on: reference)
    let bound = each.bound(type)
    let magnitudes = bound.magnitude > 0 ? try run(on: reference, absolute: true) : []
    return variants(of: each.operation).compactMap { variant in
      let outcome: Row.Outcome
      do throws(KernelError) {
        let found = try use(variant) { () throws(KernelError) in try run(on: candidate) }
        guard let found else { return nil }
        outcome = .compared(
          Comparison(found, against: wanted, magnitudes: magnitudes, bound: bound, type: type))
      } catch {
        outcome = .refused("\(error)")
      }
      return Row(operation: each.operation, variant: variant, shape: each.shape, outcome: outcome)
    }
  }

  private func variants(of operation: OperationName) -> [String?] { [nil] }

  /// - Returns: nil where the variant does not take the operands.
  private func use(
    _ variant: String?, _ body: () throws(KernelError) -> [Float]
  ) throws(KernelError) -> [Float]? {
    try body()
  }
}

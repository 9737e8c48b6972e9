package import Compute
internal import KernelBackend
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

  package static var cases: [OperationCase] {
    RowCases.all + LinearCases.all + QuantizedLinearCases.all + SparseLinearCases.all + LowRankCases.all
      + AttentionCases.all + SamplingCases.all
  }

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
    return try outcomes(of: each) { variant throws(KernelError) in
      let found = try run(on: candidate)
      let bound = variant.flatMap { each.boundsOfVariants[$0] }?(type) ?? bound
      return Comparison(found, against: wanted, magnitudes: magnitudes, bound: bound, type: type)
    }
  }

  /// What the candidate gives by itself, and with each of its kernels that takes the case.
  private func outcomes(
    of each: OperationCase, _ compare: (_ variant: String?) throws(KernelError) -> Comparison
  ) throws(KernelError) -> [Row] {
    func row(_ variant: String?) -> Row {
      let outcome: Row.Outcome
      do throws(KernelError) { outcome = .compared(try compare(variant)) } catch {
        outcome = .refused("\(error)")
      }
      return Row(operation: each.operation, variant: variant, shape: each.shape, outcome: outcome)
    }
    guard let kernels = candidate as? KernelBackend else { return [row(nil)] }
    kernels.forcedVariant = nil
    kernels.forgetLaunches()
    let own = row(nil)
    let chosen = kernels.library.variants.filter(kernels.hasLaunched)
    guard case .compared = own.outcome, !chosen.isEmpty else { return [own] }
    // The kernels that were chosen stand for the row without a name.
    var rows = [own]
    rows[0].variant = chosen.map(\.name).joined(separator: " + ")
    defer { kernels.forcedVariant = nil }
    for variant in each.operation.kernels.flatMap({ kernels.library.variants(of: $0) })
    where !chosen.contains(variant) && kernels.device.reasonUnavailable(variant) == nil {
      kernels.forcedVariant = variant
      kernels.forgetLaunches()
      let forced = row(variant.name)
      // A kernel may leave a shape to others; only what it computed counts.
      if kernels.hasLaunched(variant) { rows.append(forced) }
    }
    return rows
  }
}

extension OperationName {
  /// What computes it on a device.
  fileprivate var kernels: [KernelOperation] {
    switch self {
    case .embed, .gatherRows: [.embedding]
    case .norm: [.rmsNorm, .layerNorm]
    case .linear: [.linear, .quantizedLinear, .repack, .gatherColumns]
    case .rope: [.rope]
    case .appendKV: [.append]
    case .attention: [.prefill, .decode]
    case .activation: [.activation]
    case .add: [.add]
    case .sample: [.processLogits, .sample]
    case .logprobs: [.logprobs]
    case .feed: [.feed]
    case .addLowRank: [.lowRank]
    }
  }
}

internal import CPUBackend
internal import Compression
internal import Compute
internal import Models
internal import Numerics

/// SparseGPT of one layer: from the Gram matrix of its inputs to the pruned weight. `Scripts/bench/pruning` runs the
/// algorithm in torch on the same sizes beside it.
enum PruningBench: Benchmark {
  static let name = "pruning"
  private static let tokens = 512

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let backend = CPUBackend(threads: try arguments.integer("--threads", in: 1...1024))
    let repetitions = try arguments.integer("--repetitions", in: 1...100) ?? 3
    guard let method = MethodRegistry.method(named: "sparsegpt") else {
      throw Failure(.internalError, "there is no method 'sparsegpt'")
    }
    var report = BenchReport(name: name)
    report.setting = [
      ("kernels", backend.instructionSet.rawValue), ("threads", "\(backend.threads)"),
      ("block", "\(method.defaults.options.blockSize) columns"),
    ]
    for (outputs, inputs) in [(5632, 2048), (2048, 5632)] {
      let layer = try Layer(outputs: outputs, inputs: inputs, backend)
      for sparsity in [Sparsity.unstructured(0.5), .pattern(keep: 2, of: 4)] {
        var scheme = method.defaults.scheme
        scheme.sparsity = sparsity
        let problem = layer.problem(scheme)
        var best = Double.infinity
        for _ in 0..<repetitions {
          let start = ContinuousClock.now
          _ = try method.solve(problem, method.defaults.options, backend)
          best = min(best, (ContinuousClock.now - start) / .seconds(1))
        }
        report.add("\(outputs) x \(inputs), \(sparsity.text)", best, "s")
      }
    }
    return report
  }

  private struct Layer {
    let weight: Matrix
    let statistics: ActivationStatistics

    init(outputs: Int, inputs: Int, _ backend: CPUBackend) throws {
      var generator = SplitMix(state: 1)
      weight = Matrix(
        (0..<outputs * inputs).map { _ in generator.next() * 0.1 }, rows: outputs, columns: inputs)
      // Neighbouring channels share most of their value, so that there is something to compensate with.
      var activations = [Float](repeating: 0, count: PruningBench.tokens * inputs)
      var memory: Float = 0
      for index in activations.indices {
        memory = 0.8 * memory + generator.next()
        activations[index] = memory
      }
      var statistics = ActivationStatistics(inputs: inputs, gram: true)
      let read = HostTensor.copy(activations, .float32, Shape(PruningBench.tokens, inputs))
      try withExtendedLifetime(read) { try statistics.add(read.view, on: backend) }
      self.statistics = statistics
    }

    func problem(_ scheme: LayerScheme) -> LinearProblem {
      LinearProblem(
        site: LinearSite(
          layer: 0, role: .up, module: "layer", outputs: weight.rows, inputs: weight.columns, hasBias: false),
        scheme: scheme, weight: weight, statistics: statistics, scaleType: .bfloat16)
    }
  }

  /// Uniform in -1..<1 (SplitMix64).
  private struct SplitMix {
    var state: UInt64

    mutating func next() -> Float {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return Float(Int32(truncatingIfNeeded: (z ^ (z >> 31)) >> 32)) * 0x1p-31
    }
  }
}

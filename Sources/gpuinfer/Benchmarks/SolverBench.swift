internal import CPUBackend
internal import Compression
internal import Compute
internal import Models
internal import Numerics

/// The linear algebra of calibrated compression, one layer at a time: the Gram matrix of its inputs, then GPTQ's and
/// SparseGPT's sweep from there. `Scripts/bench/solvers` runs the algorithms in torch on the same sizes beside it.
enum SolverBench: Benchmark {
  static let name = "solvers"
  /// Of one calibration sample; GPTQ's authors take 128 samples.
  private static let tokens = 512
  private static let samples = 128

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let backend = CPUBackend(threads: try arguments.integer("--threads", in: 1...1024))
    let repetitions = try arguments.integer("--repetitions", in: 1...100) ?? 3
    let (gptq, sparseGPT) = (try method("gptq"), try method("sparsegpt"))
    var report = BenchReport(name: name)
    report.setting = [
      ("kernels", backend.instructionSet.rawValue), ("threads", "\(backend.threads)"),
      ("block", "\(gptq.defaults.options.blockSize) columns"), ("samples", "\(samples) of \(tokens) tokens"),
    ]
    for (outputs, inputs) in [(5632, 2048), (2048, 5632)] {
      let layer = try Layer(outputs: outputs, inputs: inputs, backend)
      func add(_ name: String, _ method: CompressionMethod, _ scheme: LayerScheme) throws {
        let problem = layer.problem(scheme)
        let seconds = try best(of: repetitions) {
          _ = try method.solve(problem, method.defaults.options, backend)
        }
        report.add("\(outputs) x \(inputs), \(name)", seconds, "s")
      }
      let gram = try best(of: repetitions) {
        var statistics = ActivationStatistics(inputs: inputs, gram: true)
        for _ in 0..<samples { try statistics.add(layer.inputs.view, on: backend) }
      }
      report.add("\(outputs) x \(inputs), Gram matrix", gram, "s")
      try add("gptq", gptq, gptq.defaults.scheme)
      for sparsity in [Sparsity.unstructured(0.5), .pattern(keep: 2, of: 4)] {
        var scheme = sparseGPT.defaults.scheme
        scheme.sparsity = sparsity
        try add(sparsity.text, sparseGPT, scheme)
      }
    }
    return report
  }

  private static func method(_ name: String) throws -> CompressionMethod {
    guard let method = MethodRegistry.method(named: name) else {
      throw Failure(.internalError, "there is no method '\(name)'")
    }
    return method
  }

  private static func best(of repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<repetitions {
      let start = ContinuousClock.now
      try body()
      best = min(best, (ContinuousClock.now - start) / .seconds(1))
    }
    return best
  }

  private struct Layer {
    let weight: Matrix
    /// Of one sample, float32 `[tokens, inputs]`.
    let inputs: Tensor
    let statistics: ActivationStatistics

    init(outputs: Int, inputs: Int, _ backend: CPUBackend) throws {
      var generator = SplitMix(state: 1)
      weight = Matrix(
        (0..<outputs * inputs).map { _ in generator.next() * 0.1 }, rows: outputs, columns: inputs)
      // Neighbouring channels share most of their value, so that there is something to compensate with.
      var activations = [Float](repeating: 0, count: SolverBench.tokens * inputs)
      var memory: Float = 0
      for index in activations.indices {
        memory = 0.8 * memory + generator.next()
        activations[index] = memory
      }
      var statistics = ActivationStatistics(inputs: inputs, gram: true)
      self.inputs = HostTensor.copy(activations, .float32, Shape(SolverBench.tokens, inputs))
      try statistics.add(self.inputs.view, on: backend)
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

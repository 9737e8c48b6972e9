import CPUBackend
import Compression
import Compute
import Glibc
import Numerics
import Models
import TestSupport
import Testing

/// Products with rounded weights and activations where 4 of 256 channels are 30 times as loud, beside figures computed
/// apart from this code (numpy, double precision): relative errors of the outputs.
@Suite("Outlying activations on one layer")
struct OutlierTests {
  private struct Layer {
    static let (rows, columns, tokens) = (64, 256, 128)
    var inputs: [Float]
    var weight: [Float]

    /// - Parameters:
    ///   - factor: of the loud channels.
    ///   - isPreserved: columns are divided by it, as when a norm's gain grew and its readers make up for it.
    init(factor: Float, isPreserved: Bool) {
      var generator = SeededGenerator(seed: 77)
      func normal() -> Float {
        let radius = (-2 * log(Double.random(in: 1e-12..<1, using: &generator))).squareRoot()
        return Float(radius * cos(2 * Double.pi * Double.random(in: 0..<1, using: &generator)))
      }
      inputs = (0..<Self.tokens * Self.columns).map { _ in normal() }
      weight = (0..<Self.rows * Self.columns).map { _ in 0.05 * normal() }
      for channel in [7, 80, 130, 201] {
        for token in 0..<Self.tokens { inputs[token * Self.columns + channel] *= factor }
        if isPreserved { for row in 0..<Self.rows { weight[row * Self.columns + channel] /= factor } }
      }
    }

    /// `‖X · Wᵀ − what the store computes‖ / ‖X · Wᵀ‖`.
    func error(
      _ name: String, _ activations: LayerScheme.Activations = .token,
      _ change: (inout Recipe.Options) -> Void = { _ in }
    ) throws -> Double {
      let method = try #require(MethodRegistry.method(named: name))
      let backend = CPUBackend(threads: 1)
      var options = method.defaults.options
      change(&options)
      let scheme = LayerScheme(
        bits: 8, groupSize: nil, convention: .symmetricNarrow, activations: activations)
      func problem(_ weight: [Float], _ statistics: ActivationStatistics) -> LinearProblem {
        LinearProblem(
          site: LinearSite(
            layer: 0, role: .up, module: "test", outputs: Self.rows, inputs: Self.columns, hasBias: false),
          scheme: scheme, weight: Matrix(weight, rows: Self.rows, columns: Self.columns),
          statistics: statistics, scaleType: .float32)
      }
      var statistics = ActivationStatistics(inputs: Self.columns, gram: true)
      try statistics.add(inputs, rows: Self.tokens, on: backend)
      var (x, w) = (inputs, weight)
      if let factors = try method.balance?([problem(w, statistics)], statistics, options, backend) {
        for index in x.indices { x[index] /= factors[index % Self.columns] }
        for index in w.indices { w[index] *= factors[index % Self.columns] }
        statistics = statistics.dividing(by: factors)
      }
      let solved = try method.solve(problem(w, statistics), options, backend)
      let placed = try backend.place(LinearWeight(solved.store))
      let input = HostTensor.copy(x, .float32, Shape(Self.tokens, Self.columns))
      let output = HostTensor.copy(
        [Float](repeating: 0, count: Self.tokens * Self.rows), .float32, Shape(Self.tokens, Self.rows))
      try backend.linear(input.view, placed, accumulate: false, into: output.view)
      let found = output.floats
      var (wrong, whole) = (0.0, 0.0)
      for token in 0..<Self.tokens {
        for row in 0..<Self.rows {
          var sum = 0.0
          for column in 0..<Self.columns {
            sum += Double(inputs[token * Self.columns + column]) * Double(weight[row * Self.columns + column])
          }
          let difference = sum - Double(found[token * Self.rows + row])
          wrong += difference * difference
          whole += sum * sum
        }
      }
      return (wrong / whole).squareRoot()
    }
  }

  /// T-I8: figures 0.028 and 0.0071.
  @Test func `LLM int8 leaves loud channels out of the rounding`() throws {
    let layer = Layer(factor: 30, isPreserved: false)
    let (plain, kept) = (try layer.error("rtn"), try layer.error("llm.int8"))
    #expect(abs(plain / 0.028 - 1) < 0.2, "\(plain)")
    #expect(abs(kept / 0.0071 - 1) < 0.2, "\(kept)")
    // A threshold that nothing reaches is no threshold, bit for bit.
    #expect(try layer.error("llm.int8") { $0.outlierThreshold = 1e9 } == plain)
  }

  /// T-SQ: figures by token 0.104 and 0.0093 beside 0.0096 without loud channels, by tensor 0.21 and 0.0107 beside 0.0117.
  @Test func `SmoothQuant restores what loud channels cost`() throws {
    let (loud, quiet) = (Layer(factor: 30, isPreserved: true), Layer(factor: 1, isPreserved: true))
    for (activations, figure, smoothed) in [
      (LayerScheme.Activations.token, 0.104, 0.0093), (.tensor, 0.21, 0.0107),
    ] {
      let plain = try loud.error("rtn", activations)
      let half = try loud.error("smoothquant", activations) { $0.smoothing = 0.5 }
      #expect(abs(plain / figure - 1) < 0.25, "\(plain)")
      #expect(abs(half / smoothed - 1) < 0.2, "\(half)")
      #expect(try half < 1.1 * quiet.error("rtn", activations))
      // All of it in the weights, or all of it left in the activations, is no better where tokens have their own scale.
      guard activations == .token else { continue }
      for alpha in [0.0, 1] {
        #expect(try half < loud.error("smoothquant", activations) { $0.smoothing = alpha })
      }
      #expect(try loud.error("smoothquant", activations) { $0.smoothing = nil } < 1.1 * half)
    }
  }
}

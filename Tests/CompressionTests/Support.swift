import CPUBackend
import Checkpoints
import Compression
import Compute
import Models
import Numerics
import TestSupport

internal import Foundation

/// One linear layer with made-up inputs.
struct Problem {
  let problem: LinearProblem
  let backend: CPUBackend

  /// Inputs whose channels share most of their value, so that there is something to compensate with (fixture F4 of
  /// the field: correlated inputs).
  init(
    rows: Int, columns: Int, tokens: Int = 400, seed: UInt64, bits: Int? = 4, groupSize: Int? = nil,
    convention: GridConvention = .symmetric, sparsity: Sparsity? = nil, scaleType: DataType = .float32,
    role: LinearSite.Role = .up, loud: [Int] = [], dead: [Int] = []
  ) throws {
    backend = CPUBackend(threads: 1)
    var generator = SeededGenerator(seed: seed)
    func normal() -> Float {
      (0..<6).reduce(0) { sum, _ in sum + Float.random(in: -1..<1, using: &generator) } / 1.4
    }
    let weight = Matrix((0..<rows * columns).map { _ in normal() * 0.1 }, rows: rows, columns: columns)
    var inputs = [Float](repeating: 0, count: tokens * columns)
    for token in 0..<tokens {
      var memory: Float = 0
      for column in 0..<columns {
        memory = 0.8 * memory + normal()
        inputs[token * columns + column] = memory
      }
      for column in loud { inputs[token * columns + column] *= 30 }
      for column in dead { inputs[token * columns + column] = 0 }
    }
    var statistics = ActivationStatistics(inputs: columns, gram: true)
    try statistics.add(inputs, rows: tokens, on: backend)
    var scheme = LayerScheme()
    scheme.bits = bits
    scheme.groupSize = groupSize
    scheme.convention = convention
    scheme.sparsity = sparsity
    problem = LinearProblem(
      site: LinearSite(layer: 0, role: role, module: "test", outputs: rows, inputs: columns, hasBias: false),
      scheme: scheme, weight: weight, statistics: statistics, scaleType: scaleType)
  }

  func solve(_ method: String, _ change: (inout Recipe.Options) -> Void = { _ in }) throws -> CompressedLinear
  {
    guard let method = MethodRegistry.method(named: method) else { throw Missing(name: method) }
    var options = method.defaults.options
    change(&options)
    return try method.solve(problem, options, backend)
  }

  struct Missing: Error { let name: String }

  /// `‖X · (Ŵ − W)ᵀ‖²`.
  func outputError(_ result: CompressedLinear) throws -> Double {
    try LayerCompressor.errors(problem, result.values, backend).output ?? .nan
  }

  /// What the store itself stands for, correction included.
  static func decode(_ result: CompressedLinear) throws -> [Float] {
    let store = result.store
    var values: [Float] = []
    for row in 0..<store.outputs {
      var line = [Float](repeating: 0, count: store.inputs)
      unsafe line.withUnsafeMutableBufferPointer { unsafe store.copyRow(row, into: $0) }
      if let correction = result.correction {
        for column in 0..<store.inputs {
          for k in 0..<correction.rank {
            line[column] +=
              correction.b.float(at: row * correction.rank + k)
              * correction.a.float(at: k * store.inputs + column)
          }
        }
      }
      values += line
    }
    return values
  }
}

/// A directory that is gone with this object.
final class TemporaryFolder {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-\(UUID().uuidString)")
    path = folder.path
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

func randomTokens(_ count: Int, below limit: Int, seed: UInt64) -> [Int32] {
  var generator = SeededGenerator(seed: seed)
  return (0..<count).map { _ in Int32.random(in: 0..<Int32(limit), using: &generator) }
}

/// Every checkpoint of the tests that shows another shape of decoder.
let familyFixtures = [
  "tiny/llama", "tiny/mistral", "tiny/qwen2", "tiny/gpt2", "tiny/bloom", "families/llama-biases",
  "families/gpt-neox-parallel", "families/gpt-neox-serial", "families/gpt2-odd", "families/bloom-3-heads",
]

extension ActivationStatistics {
  /// Adds rows of inputs.
  mutating func add(_ inputs: [Float], rows: Int, on backend: CPUBackend) throws {
    let tensor = HostTensor.copy(inputs, .float32, Shape(rows, inputs.count / rows))
    try withExtendedLifetime(tensor) { try add(tensor.view, on: backend) }
  }
}

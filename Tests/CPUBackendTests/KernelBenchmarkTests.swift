import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Kernel benchmark")
struct KernelBenchmarkTests {
  static let shape = KernelBenchmark.DecoderShape(
    layers: 6, hidden: 48, intermediate: 80, queryHeads: 3, keyValueHeads: 1, headDimension: 16,
    vocabulary: 100)

  @Test(
    "a decoder step counts every weight and cached byte once",
    arguments: [(1, 1), (1, 33), (20, 20), (5, 40)])
  func decoder(_ tokens: Int, _ context: Int) throws {
    let benchmark = KernelBenchmark(backend: CPUBackend(threads: 2), budget: 0)
    let found = try benchmark.decoder(Self.shape, tokens: tokens, context: context)
    let layer = 48 * (48 + 2 * 16) + 48 * 48 + 2 * 80 * 48 + 48 * 80
    let weights = 6 * layer + 100 * 48
    #expect(found.bytes == weights * 2 + 6 * 2 * context * 16 * 4)
    #expect(found.operations == 2 * weights * tokens)
    #expect(found.seconds > 0 && found.seconds.isFinite)
  }

  @Test("a product counts its weights and multiplications")
  func linear() throws {
    let benchmark = KernelBenchmark(backend: CPUBackend(threads: 1), budget: 0, workingSet: 1 << 16)
    let found = try benchmark.linear(rows: 3, inputs: 96, outputs: 64, type: .float16)
    #expect(found.bytes == 96 * 64 * 2)
    #expect(found.operations == 2 * 3 * 96 * 64)
    #expect(try benchmark.memoryRead().bytes == 1 << 20)
  }
}

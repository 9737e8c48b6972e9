import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Kernel benchmark")
struct KernelBenchmarkTests {
  @Test("a product counts its weights and multiplications")
  func linear() throws {
    let benchmark = KernelBenchmark(backend: CPUBackend(threads: 1), budget: 0, workingSet: 1 << 16)
    let found = try benchmark.linear(rows: 3, inputs: 96, outputs: 64, type: .float16)
    #expect(found.bytes == 96 * 64 * 2)
    #expect(found.operations == 2 * 3 * 96 * 64)
    #expect(try benchmark.memoryRead().bytes == 1 << 20)
  }
}

import Compute
import KernelBackend
import Testing

@Suite("Device benchmark")
struct DeviceBenchmarkTests {
  private func benchmark() throws -> DeviceBenchmark {
    DeviceBenchmark(backend: try KernelBackend(.emulated), replays: 2, workingSet: 1 << 13)
  }

  @Test
  func `bytes and operations are those of the algorithm`() throws {
    let linear = try benchmark().linear(rows: 3, inputs: 64, outputs: 40)
    #expect(linear.bytes == (64 * 40 + 3 * 64 + 3 * 40) * 2)
    #expect(linear.operations == 2 * 3 * 64 * 40)
    #expect(linear.microseconds > 0)
    let decode = try benchmark().attention(
      sequences: 2, rows: 1, keys: 20, queryHeads: 4, keyHeads: 2, head: 16)
    #expect(decode.operation == "decode attention")
    #expect(decode.bytes == 2 * 2 * 20 * 2 * 16 * 2 + 2 * 2 * 4 * 16 * 2)
    #expect(decode.operations == 4 * 2 * 4 * 16 * 20)
    let prefill = try benchmark().attention(
      sequences: 1, rows: 5, keys: 5, queryHeads: 1, keyHeads: 1, head: 16)
    // 1 + 2 + 3 + 4 + 5 pairs.
    #expect(prefill.operations == 4 * 16 * 15)
    #expect(try benchmark().norm(rows: 2, width: 64).bytes == 4 * 2 * 64 * 2)
    #expect(try benchmark().activation(rows: 2, width: 64).bytes == 3 * 2 * 64 * 2)
  }
}

import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Threads")
struct ThreadTests {
  @Test(
    "thousands of small and large jobs in a row all finish, with any number of threads",
    arguments: [1, 2, 3, 8])
  func stress(_ threads: Int) throws {
    let bench = Workbench(seed: 31, threads: threads)
    #expect(bench.backend.threads == threads)
    let (inputs, outputs) = (64, 1100)
    let w = bench.random(inputs * outputs)
    let weight = LinearWeight(dense: try bench.tensor(w, Shape(outputs, inputs), type: .float32))
    let input = try bench.matrix(bench.random(18 * inputs), 18, inputs)
    let output = try bench.matrix([Float](repeating: 0, count: 18 * outputs), 18, outputs)
    try bench.backend.linear(input, weight, accumulate: false, into: output)
    let expected = bits(try bench.read(output))
    for round in 0..<600 {
      let rows = round % 18 + 1
      try bench.backend.linear(
        input.prefix(rows: rows), weight, accumulate: false, into: output.prefix(rows: rows))
      if round % 60 == 0 { #expect(bits(try bench.read(output)) == expected) }
    }
  }

  @Test("backends come and go, used or not, without leaving threads behind")
  func lifetimes() throws {
    for round in 0..<40 {
      let bench = Workbench(seed: 32, threads: 4)
      if round % 2 == 0 {
        let x = try bench.matrix(bench.random(400 * 300), 400, 300)
        try bench.backend.add(x, to: x)
      }
    }
  }

  @Test("by default there are as many threads as this process may use, at least one")
  func defaults() {
    #expect(ProcessorCount.available >= 1)
    #expect(CPUBackend().threads == ProcessorCount.available)
    #expect(CPUBackend(threads: 0).threads == 1)
  }

  @Test("every processor has the portable build, and the best is one that it has")
  func instructionSets() {
    #expect(InstructionSet.portable.isAvailable)
    #expect(InstructionSet.best.isAvailable)
    #expect(CPUBackend(threads: 1).instructionSet == .best)
  }
}

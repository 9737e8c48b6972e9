import Compute
import KernelBackend
import Numerics
import TestSupport
import Testing

@Suite struct RecordingTests {
  /// A product of 128 rows, as each variant computes it.
  private struct Product {
    let backend: KernelBackend
    let weight: LinearWeight
    let input: Tensor
    let output: Tensor

    init() throws {
      backend = try KernelBackend(.emulated, workers: 2)
      var generator = SeededGenerator(seed: 4)
      let values = generator.floats(64 * 40)
      weight = try backend.place(LinearWeight(dense: MemoryTests.matrix(values, 64, 40)))
      input = try backend.place(MemoryTests.matrix(generator.floats(130 * 40), 130, 40))
      output = try backend.place(MemoryTests.matrix([Float](repeating: 0, count: 130 * 64), 130, 64))
    }

    func run() throws(KernelError) {
      try backend.linear(input.view, weight, accumulate: false, into: output.view)
    }

    func bits() throws -> [UInt16] {
      var bits = [UInt16](repeating: 0, count: 130 * 64)
      unsafe try bits.withUnsafeMutableBytes { unsafe try backend.download(output.view, to: $0) }
      return bits
    }

    func clear() throws {
      let zeros = [UInt16](repeating: 0, count: 130 * 64)
      unsafe try zeros.withUnsafeBytes { unsafe try backend.upload($0, to: output.view) }
    }
  }

  @Test func `recorded work runs when it is replayed, each time, on what lies there then`() throws {
    let product = try Product()
    for variant in product.backend.library.variants(of: .linear) {
      product.backend.forcedVariant = variant
      try product.run()
      let wanted = try product.bits()
      #expect(wanted.contains { $0 != 0 })
      try product.clear()
      let work = try product.backend.record { () throws(KernelError) in try product.run() }
      #expect(try product.bits().allSatisfy { $0 == 0 }, "\(variant.name) ran while it was recorded")
      for _ in 0..<2 {
        try product.clear()
        try product.backend.replay(work)
        #expect(try product.bits() == wanted, "\(variant.name)")
      }
    }
  }

  @Test func `a recording that fails leaves nothing behind`() throws {
    let product = try Product()
    let error = #expect(throws: KernelError.self) {
      try product.backend.record { () throws(KernelError) in
        try product.run()
        try product.backend.synchronize()
      }
    }
    #expect("\(try #require(error))".contains("captured"))
    try product.run()
    #expect(try product.bits().contains { $0 != 0 })
  }

  @Test func `work of another backend is refused`() throws {
    final class Foreign: RecordedWork {}
    let backend = try KernelBackend(.emulated)
    #expect(throws: KernelError.self) { try backend.replay(Foreign()) }
  }
}

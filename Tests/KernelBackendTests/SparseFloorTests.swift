import KernelBackend
import Testing

/// What a GPU's figures say of 2:4 weights.
@Suite struct SparseFloorTests {
  private let kernels = KernelLibrary.emulated

  private func floors(_ name: String, rows: Int) throws -> SparseFloors {
    let index = try #require(kernels.figures.firstIndex { $0.name == name })
    return kernels.sparseFloors(index, rows: rows, outputs: 8192, inputs: 8192, sparseBits: 9)
  }

  @Test func `few rows gain what they read less, many what the tensor cores were seen to gain`() throws {
    for (name, gain) in [("H200", 1.3), ("A100", 484.0 / 302), ("RTX 4090", 211.0 / 132)] {
      #expect(abs(try floors(name, rows: 1).gain - 16.0 / 9) < 1e-9)
      #expect(abs(try floors(name, rows: 8192).gain - gain) < 1e-9)
      #expect(!(try floors(name, rows: 8192).expands))
    }
  }

  @Test func `a weight is written out where that is the least`() {
    #expect(SparseFloors(dense: 3, stored: 5, expanded: 4).expands)
    #expect(SparseFloors(dense: 3, stored: 5, expanded: 4).gain == 0.75)
    #expect(!SparseFloors(dense: 3, stored: 2, expanded: 4).expands)
  }

  @Test func `every figure has a source and a rate`() {
    for figures in kernels.figures {
      #expect(!figures.source.isEmpty && figures.bandwidth > 0 && figures.sparse > 0 && figures.dense > 0)
      #expect((figures.sparseOfWarpgroups != nil) == (figures.capability == 90))
    }
    // A name that is part of another comes behind it, or it would be found for both.
    let names = kernels.figures.map(\.name)
    for (index, name) in names.enumerated() {
      for later in names[(index + 1)...] { #expect(!later.contains(name), "\(later) is taken for \(name)") }
    }
  }
}

import Compute
import KernelBackend
import Numerics
import Testing

/// Which sparse weights stay as they are stored on a device, and what is said of the others.
@Suite struct SparsePlacementTests {
  private static let (outputs, inputs) = (2, 64)

  /// Inputs 0 and 2 of every four.
  private func weight(
    _ values: SparseWeight.Values, pattern: SparseWeight.Pattern = .twoOfFour
  ) throws -> LinearWeight.Store {
    let mask = [UInt8](repeating: 0b0101_0101, count: Self.outputs * Self.inputs / 8)
    return .sparse(
      try SparseWeight(
        outputs: Self.outputs, inputs: Self.inputs,
        mask: HostTensor.copy(mask, .uint8, Shape(Self.outputs, Self.inputs / 8)), pattern: pattern,
        values: values))
  }

  private func floats() -> SparseWeight.Values {
    let kept = Self.inputs / 2
    return .floats(
      HostTensor.copy(
        [Float](repeating: 0.5, count: Self.outputs * kept), .float32, Shape(Self.outputs, kept)))
  }

  private func codes(
    bits: Int = 4, group: Int = 32, zero: IntegerWeight.Zero = .midpoint,
    activations: IntegerActivations? = nil
  ) -> SparseWeight.Values {
    let words = PackedCodes.wordCount(Self.inputs / 2, bits: bits)
    let groups = Self.inputs / group
    return .codes(
      SparseCodes(
        bits: bits, groupSize: group,
        words: HostTensor.copy(
          [UInt32](repeating: 0x1234_5678, count: Self.outputs * words), .int32, Shape(Self.outputs, words)),
        scales: HostTensor.copy(
          [Float](repeating: 0.5, count: Self.outputs * groups), .float32, Shape(Self.outputs, groups)),
        zero: zero, activations: activations))
  }

  @Test func `2 of 4 stays as it is stored`() throws {
    let backend = try KernelBackend(.emulated)
    let zeros = HostTensor.copy([UInt8](repeating: 3, count: 4), .uint8, Shape(2, 2))
    // Outputs are padded to 16, and each part to 256 bytes: two steps of 512 bytes of values, then metadata.
    let stored: [(SparseWeight.Values, Int)] = [
      (floats(), 2 * 512 + 256),
      // A span of codes is 128 inputs; then metadata, and 16 or 32 scales in float32.
      (codes(), 512 + 256 + 256),
      (codes(bits: 8), 1024 + 256 + 256),
      (codes(group: 64), 512 + 256 + 256),
      (codes(zero: .integers(zeros)), 512 + 256 + 256 + 256),
      (codes(bits: 8, group: 64, activations: .token(outlierThreshold: nil)), 512 + 256 + 256),
      (codes(bits: 8, group: 64, activations: .tensor(scale: 0.1, zero: 0)), 512 + 256 + 256),
    ]
    for (values, bytes) in stored {
      let store = try weight(values)
      #expect(KernelBackend.widening(of: store) == nil)
      guard case .placed(let packed) = try backend.place(LinearWeight(store)).store else {
        Issue.record("\(store.summary) was widened")
        continue
      }
      #expect(packed.byteCount == bytes, "\(store.summary)")
      #expect([packed.outputs, packed.inputs] == [Self.outputs, Self.inputs])
      #expect(packed.summary == store.summary)
    }
  }

  @Test func `what no kernel takes is widened for a reason`() throws {
    let reals = HostTensor.copy([Float](repeating: 3.5, count: 4), .float32, Shape(2, 2))
    let kept = Self.inputs / 2
    let rows = HostTensor.copy([Int64(0), Int64(kept)], .int64, Shape(2))
    let line = HostTensor.copy(
      [Float](repeating: 0.5, count: Self.outputs * kept), .float32, Shape(Self.outputs * kept))
    let refused: [(LinearWeight.Store, String)] = [
      (try weight(.floats(line), pattern: .rows(starts: rows)), "zeros in no pattern"),
      (try weight(codes(bits: 3)), "int3"), (try weight(codes(bits: 2)), "int2"),
      (try weight(codes(group: 16)), "groups of 16"),
      (try weight(codes(zero: .reals(reals))), "zeros that are no codes"),
      (try weight(codes(bits: 4, activations: .token(outlierThreshold: nil))), "2:4 int4 with activations"),
      (try weight(codes(bits: 8, activations: .token(outlierThreshold: nil))), "groups of 32"),
      (try weight(codes(bits: 8, group: 64, activations: .token(outlierThreshold: 6))), "outliers"),
      (try weight(codes(bits: 8, group: 64, activations: .tensor(scale: 0.1, zero: 3))), "zero of their own"),
    ]
    let backend = try KernelBackend(.emulated)
    for (store, words) in refused {
      let reason = try #require(KernelBackend.widening(of: store))
      #expect(reason.contains(words), "\(reason)")
      guard case .dense(let tensor) = try backend.place(LinearWeight(store)).store else {
        Issue.record("\(store.summary) was not widened")
        continue
      }
      #expect(tensor.shape.array == [Self.outputs, Self.inputs])
    }
  }

  @Test func `a mask that is not 2 of 4 does not reach a kernel`() throws {
    let mask = [UInt8](repeating: 0b0101_0111, count: Self.outputs * Self.inputs / 8)
    let store = LinearWeight.Store.sparse(
      try SparseWeight(
        outputs: Self.outputs, inputs: Self.inputs,
        mask: HostTensor.copy(mask, .uint8, Shape(Self.outputs, Self.inputs / 8)), pattern: .twoOfFour,
        values: floats()))
    let backend = try KernelBackend(.emulated)
    let error = #expect(throws: KernelError.self) { try backend.place(LinearWeight(store)) }
    #expect("\(try #require(error))".contains("keeps 3"), "\(String(describing: error))")
  }
}

import Compute
import KernelBackend
import Numerics
import Testing

/// Which quantised weights keep their codes on a device, and what is said of the others.
@Suite struct QuantizedPlacementTests {
  private func weight(
    bits: Int = 4, group: Int = 32, inputs: Int = 64, scale: Float = 0.5,
    zero: IntegerWeight.Zero = .midpoint, order: IntegerWeight.Order = .natural,
    outliers: OutlierColumns? = nil, activations: IntegerActivations? = nil
  ) throws -> LinearWeight.Store {
    let (outputs, groups) = (2, inputs / group)
    let width = PackedCodes.wordCount(inputs, bits: bits)
    return .integer(
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: group,
        codes: HostTensor.copy(
          [UInt32](repeating: 0x1234_5678, count: outputs * width), .int32, Shape(outputs, width)),
        scales: HostTensor.copy(
          [Float](repeating: scale, count: outputs * groups), .float32, Shape(outputs, groups)),
        zero: zero, order: order, outliers: outliers, activations: activations))
  }

  @Test func `what no kernel takes is widened for a reason`() throws {
    #expect(KernelBackend.widening(of: try weight()) == nil)
    #expect(KernelBackend.widening(of: try weight(group: 24, inputs: 24)) == nil)
    for activations in [IntegerActivations.token(outlierThreshold: 6), .tensor(scale: 0.1, zero: 0)] {
      #expect(KernelBackend.widening(of: try weight(bits: 8, activations: activations)) == nil)
    }
    for bits in [2, 3, 8] { #expect(KernelBackend.widening(of: try weight(bits: bits)) == nil) }
    let zeros = HostTensor.copy([UInt8](repeating: 3, count: 4), .uint8, Shape(2, 2))
    #expect(KernelBackend.widening(of: try weight(zero: .integers(zeros))) == nil)
    let reals = HostTensor.copy([Float](repeating: 3.5, count: 4), .float32, Shape(2, 2))
    let outliers = OutlierColumns(
      indices: HostTensor.copy([Int32(5)], .int32, Shape(1)),
      columns: HostTensor.copy([Float](repeating: 1, count: 2), .float32, Shape(2, 1)))
    let refused: [(LinearWeight.Store, String)] = [
      (try weight(group: 8), "groups of 8"),
      (try weight(zero: .reals(reals)), "zeros"), (try weight(outliers: outliers), "columns"),
      (try weight(activations: .token(outlierThreshold: nil)), "activations"),
      (try weight(bits: 8, group: 16, activations: .token(outlierThreshold: 6)), "multiple of 32"),
      (try weight(bits: 8, activations: .tensor(scale: 0.1, zero: 3)), "zero"),
    ]
    for (store, word) in refused {
      let reason = try #require(KernelBackend.widening(of: store))
      #expect(reason.contains(word), "\(reason)")
      let backend = try KernelBackend(.emulated)
      let placed = try backend.place(LinearWeight(store))
      if case .dense(let tensor) = placed.store {
        #expect(tensor.dataType == .bfloat16)
      } else {
        Issue.record("\(store.summary) was not widened")
      }
    }
  }

  private func float8Weight(
    group: Int = 64, activations: Float8Weight.Activations?
  ) throws -> LinearWeight.Store {
    let (outputs, inputs) = (2, 192)
    let groups = (inputs + group - 1) / group
    return .float8(
      try Float8Weight(
        outputs: outputs, inputs: inputs,
        codes: HostTensor.copy(
          [UInt8](repeating: 0x38, count: outputs * inputs), .float8E4M3, Shape(outputs, inputs)),
        scales: HostTensor.copy([Float](repeating: 0.5, count: groups), .float32, Shape(1, groups)),
        blockRows: outputs, blockColumns: group, activations: activations))
  }

  @Test func `activations are rounded to E4M3 by devices that multiply it`() throws {
    let variant = try #require(
      KernelBackend(.emulated).library.variants(of: .quantizedLinear).first { $0.name == "w8a8.float8" })
    #expect(variant.capabilities.lowerBound == KernelBackend.float8Capability)
    for activations in [Float8Weight.Activations.token, .tensor(scale: 0.25)] {
      let store = try float8Weight(activations: activations)
      for (capability, isWidened) in [(80, true), (86, true), (89, false), (90, false), (.max, false)] {
        let reason = KernelBackend.widening(of: store, capability: capability)
        #expect((reason?.contains("compute capability 8.9") ?? false) == isWidened)
      }
      let placed = try KernelBackend(.emulated).place(LinearWeight(store))
      guard case .placed = placed.store else {
        Issue.record("the weight was widened")
        continue
      }
    }
    // Without rounding every device has a kernel.
    #expect(KernelBackend.widening(of: try float8Weight(activations: nil), capability: 80) == nil)
    let refused: [(LinearWeight.Store, String)] = [
      (try float8Weight(activations: .group(size: 64)), "in groups of 64"),
      (try float8Weight(group: 48, activations: .token), "multiple of 32"),
      (try float8Weight(activations: .tensor(scale: 0)), "scale of 0"),
    ]
    for (store, word) in refused {
      let reason = try #require(KernelBackend.widening(of: store))
      #expect(reason.contains(word), "\(reason)")
      if case .placed = try KernelBackend(.emulated).place(LinearWeight(store)).store {
        Issue.record("\(store.summary) was not widened")
      }
    }
  }

  @Test func `a packed weight is as small as its codes and scales`() throws {
    let backend = try KernelBackend(.emulated)
    let placed = try backend.place(LinearWeight(try weight(inputs: 1024)))
    guard case .placed(let packed) = placed.store else {
      Issue.record("the weight was widened")
      return
    }
    // Outputs are padded to 16: 512 bytes of codes for 64 inputs, and 32 float32 scales for 16 outputs.
    #expect(packed.byteCount == 16 * 512 + 32 * 16 * 4)
    #expect([packed.outputs, packed.inputs] == [2, 1024])
    #expect(packed.summary == "int4 in groups of 32")
  }

  @Test func `bad numbers are refused with the operand's name`() throws {
    let backend = try KernelBackend(.emulated)
    let groups = HostTensor.copy([Int32](repeating: 0, count: 64), .int32, Shape(64))
    let zeros = HostTensor.copy([UInt8](repeating: 16, count: 4), .uint8, Shape(2, 2))
    let bad: [(LinearWeight.Store, String)] = [
      (try weight(scale: .nan), "scales"), (try weight(order: .grouped(groups)), "group 0"),
      (try weight(zero: .integers(zeros)), "zeros"), (try weight(group: 8, scale: .infinity), "scales"),
    ]
    for (store, word) in bad {
      let error = #expect(throws: KernelError.self) { try backend.place(LinearWeight(store)) }
      #expect("\(try #require(error))".contains(word), "\(String(describing: error))")
    }
  }

  @Test func `a weight of another backend is refused`() throws {
    final class Foreign: PlacedWeight {
      let (outputs, inputs, byteCount, summary) = (2, 8, 1, "foreign")
    }
    let backend = try KernelBackend(.emulated)
    let storage = try backend.allocate(byteCount: 64)
    let view = unsafe TensorView(address: storage.address, shape: Shape(1, 8), dataType: .bfloat16)
    let error = #expect(throws: KernelError.self) {
      try backend.linear(view, LinearWeight(.placed(Foreign())), accumulate: false, into: view.columns(0..<2))
    }
    #expect("\(try #require(error))".contains("not placed"))
  }
}

import Compute
import KernelBackend
import Numerics
import Testing

@Suite struct VariantTests {
  @Test func `the table lists each operation's variants under names of their own`() throws {
    let variants = KernelLibrary.emulated.variants
    #expect(Set(variants.map(\.name)).count == variants.count)
    for operation in KernelOperation.allCases {
      #expect(!KernelLibrary.emulated.variants(of: operation).isEmpty, "\(operation)")
    }
    for (index, variant) in variants.enumerated() {
      #expect(variant.index == index)
      #expect(!variant.types.isEmpty && !variant.takes.isEmpty)
    }
  }

  @Test func `the emulated device runs every variant`() throws {
    let information = try KernelLibrary.emulated.deviceInformation()
    #expect(information.capability == 90)
    #expect(information.freeBytes > 0)
    for variant in KernelLibrary.emulated.variants {
      #expect(information.reasonUnavailable(variant) == nil, "\(variant.name)")
    }
    #expect(throws: KernelLibraryError.self) { try KernelLibrary.emulated.deviceInformation(index: 1) }
  }

  @Test func `a forced variant computes, or says what it does not take`() throws {
    let backend = try KernelBackend(.emulated)
    let table = try backend.allocate(byteCount: 2 * 3 * 8)
    let ids = try backend.allocate(byteCount: 4)
    let output = try backend.allocate(byteCount: 2 * 8)
    let tableView = unsafe TensorView(address: table.address, shape: Shape(3, 8), dataType: .bfloat16)
    let outputView = unsafe TensorView(address: output.address, shape: Shape(1, 8), dataType: .bfloat16)
    let idView = unsafe TensorView(address: ids.address, shape: Shape(1), dataType: .int32)
    unsafe try [Int32(1)].withUnsafeBytes { unsafe try backend.upload($0, to: idView) }
    let bits = (0..<24).map { BFloat16(Float($0)).bitPattern }
    unsafe try bits.withUnsafeBytes { unsafe try backend.upload($0, to: tableView) }
    for variant in backend.library.variants(of: .embedding) {
      backend.forcedVariant = variant
      try backend.gatherRows(tableView, rows: idView, into: outputView)
      var found = [UInt16](repeating: 0, count: 8)
      unsafe try found.withUnsafeMutableBytes { unsafe try backend.download(outputView, to: $0) }
      #expect(found == Array(bits[8..<16]))
    }
    // A root-mean-square norm has no bias.
    backend.forcedVariant = backend.library.variants(of: .rmsNorm).first
    let parameters = unsafe NormParameters(
      kind: .rms, weight: TensorView(address: table.address, shape: Shape(8), dataType: .bfloat16),
      bias: TensorView(address: table.address, shape: Shape(8), dataType: .bfloat16), epsilon: 1e-5)
    let error = #expect(throws: KernelError.self) {
      try backend.norm(parameters, residual: outputView, adding: nil, into: outputView)
    }
    #expect("\(try #require(error))".contains("rms_norm does not take"))
  }

  @Test func `operands of another type are refused by name`() throws {
    let backend = try KernelBackend(.emulated)
    let storage = try backend.allocate(byteCount: 64)
    let floats = unsafe TensorView(address: storage.address, shape: Shape(1, 8), dataType: .float32)
    let error = #expect(throws: KernelError.self) { try backend.add(floats, to: floats) }
    #expect(
      error
        == .unsupportedDataType(
          operation: "add", operand: "accumulator", found: .float32, supported: [.bfloat16]))
  }
}

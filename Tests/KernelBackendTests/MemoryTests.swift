import Compute
import KernelBackend
import Numerics
import TestSupport
import Testing

@Suite struct MemoryTests {
  let backend: KernelBackend

  init() throws { backend = try KernelBackend(.emulated, activationType: .bfloat16) }

  private func view(_ rows: Int, _ columns: Int, _ type: DataType) throws -> (Storage, TensorView) {
    let storage = try backend.allocate(byteCount: rows * columns * type.byteCount)
    return (
      storage, unsafe TensorView(address: storage.address, shape: Shape(rows, columns), dataType: type)
    )
  }

  private func upload<Element>(_ values: [Element], _ target: TensorView) throws {
    unsafe try values.withUnsafeBytes { unsafe try backend.upload($0, to: target) }
  }

  private func download<Element>(_ source: TensorView, _ empty: Element) throws -> [Element] {
    var values = [Element](repeating: empty, count: source.shape.elementCount)
    unsafe try values.withUnsafeMutableBytes { unsafe try backend.download(source, to: $0) }
    return values
  }

  @Test func `what is uploaded comes back, in pieces larger than a staging buffer too`() throws {
    for count in [0, 1, 7, 5 << 20] {
      let (storage, target) = try view(1, count, .int32)
      let values = (0..<Int32(count)).map { $0 &* 2_654_435 }
      try upload(values, target)
      #expect(try download(target, 0) == values)
      withExtendedLifetime(storage) {}
    }
  }

  @Test func `columns are written and read without touching their neighbours`() throws {
    let (storage, whole) = try view(3, 5, .float32)
    try upload([Float](repeating: 9, count: 15), whole)
    try upload([1, 2, 3, 4, 5, 6] as [Float], whole.columns(1..<3))
    #expect(try download(whole, Float(0)) == [9, 1, 2, 9, 9, 9, 3, 4, 9, 9, 9, 5, 6, 9, 9])
    #expect(try download(whole.columns(2..<4), Float(0)) == [2, 9, 4, 9, 6, 9])
    withExtendedLifetime(storage) {}
  }

  @Test func `bytes that are not the view's are refused`() throws {
    let (storage, target) = try view(2, 2, .float32)
    #expect(throws: KernelError.self) { try upload([1] as [Float], target) }
    #expect(throws: KernelError.self) { try backend.allocate(byteCount: -1) }
    withExtendedLifetime(storage) {}
  }

  @Test func `memory that there is not is refused with what is missing`() throws {
    let error = try #require(throws: KernelError.self) { try backend.allocate(byteCount: 1 << 50) }
    guard case .outOfMemory(let requested, let available) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(requested == 1 << 50)
    #expect(try #require(available) > 0)
    #expect("\(error)".contains("MiB are missing"))
  }

  @Test(arguments: DataType.sixteenBit, [DataType.float32, .float16, .bfloat16])
  func `placing rounds to nearest even`(_ target: DataType, _ source: DataType) throws {
    let backend = try KernelBackend(.emulated, activationType: target)
    var generator = SeededGenerator(seed: 3)
    let numbers = generator.floats(999) + [0, -0, 1.001953125, 1.00390625, 65504, 6e-8]
    let stored = numbers.map { Self.rounded($0, to: source) }
    let placed = try backend.place(Self.tensor(stored, source))
    #expect(placed.dataType == target)
    var bits = [UInt16](repeating: 0, count: stored.count)
    unsafe try bits.withUnsafeMutableBytes { unsafe try backend.download(placed.view, to: $0) }
    #expect(bits == stored.map { target == .bfloat16 ? BFloat16($0).bitPattern : Float16($0).bitPattern })
  }

  @Test func `a bias stays float32, and a quantised weight becomes the dense one it stands for`() throws {
    let bias = Self.tensor([0.1, 0.2], .float32)
    let dense = LinearWeight(dense: Self.matrix([1, 2, 3, 4], 2, 2), bias: bias)
    let placed = try backend.place(dense)
    #expect(placed.bias?.dataType == .float32)
    guard case .dense(let tensor) = placed.store else {
      Issue.record("\(placed.store)")
      return
    }
    #expect(tensor.dataType == .bfloat16)
  }

  @Test func `integers and unknown types`() throws {
    let integers = unsafe HostTensor.make(.int32, Shape(2)) { bytes in
      unsafe bytes.storeBytes(of: 7, toByteOffset: 4, as: Int32.self)
    }
    #expect(try backend.place(integers).dataType == .int32)
    let bytes = unsafe HostTensor.make(.uint8, Shape(2)) { _ in }
    #expect(throws: KernelError.self) { try backend.place(bytes) }
  }

  @Test func `a cache of another type or block size is refused`() throws {
    var geometry = KVCacheGeometry(
      layers: 1, blockCount: 2, keyValueHeads: 1, headDimension: 16, dataType: .bfloat16)
    _ = try backend.makeKVCache(geometry)
    for type in DataType.cacheCodes {
      geometry.dataType = type
      #expect(try backend.makeKVCache(geometry).geometry.bytesPerBlock == 2 * 16 * (16 + 4))
      geometry.headDimension = 24
      #expect(throws: KernelError.self) { try backend.makeKVCache(geometry) }
      geometry.headDimension = 16
    }
    geometry.dataType = .float32
    #expect(throws: KernelError.self) { try backend.makeKVCache(geometry) }
    geometry.dataType = .bfloat16
    geometry.blockSize = 32
    #expect(throws: KernelError.self) { try backend.makeKVCache(geometry) }
    geometry.blockSize = 16
    geometry.blockCount = .max
    #expect(throws: KernelError.self) { try backend.makeKVCache(geometry) }
  }

  static func rounded(_ value: Float, to type: DataType) -> Float {
    switch type {
    case .float16: Float(Float16(value))
    case .bfloat16: BFloat16(value).float
    default: value
    }
  }

  static func tensor(_ values: [Float], _ type: DataType) -> Tensor {
    unsafe HostTensor.make(type, Shape(values.count)) { bytes in
      for (index, value) in values.enumerated() {
        switch type {
        case .float16:
          unsafe bytes.storeBytes(of: Float16(value).bitPattern, toByteOffset: 2 * index, as: UInt16.self)
        case .bfloat16:
          unsafe bytes.storeBytes(of: BFloat16(value).bitPattern, toByteOffset: 2 * index, as: UInt16.self)
        default: unsafe bytes.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
        }
      }
    }
  }

  static func matrix(_ values: [Float], _ rows: Int, _ columns: Int) -> Tensor {
    let vector = tensor(values, .float32)
    return Tensor(storage: vector.storage, shape: Shape(rows, columns), dataType: .float32)
  }
}

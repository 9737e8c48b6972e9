import Compute
import KernelBackend
import Numerics
import Testing

@Suite struct StepBlockTests {
  private func block(
    _ backend: KernelBackend, from offset: Int, byteCount: Int
  ) throws -> (storage: Storage, block: any StepBlock) {
    let storage = try backend.allocate(byteCount: offset + byteCount)
    return (storage, try backend.makeStepBlock(in: storage, from: offset, byteCount: byteCount))
  }

  private func send(_ value: UInt8, _ range: Range<Int>, _ block: any StepBlock) throws {
    let host = try unsafe block.open()
    for index in range { unsafe host.storeBytes(of: value, toByteOffset: index, as: UInt8.self) }
    try block.send(range)
  }

  private func bytes(_ backend: KernelBackend, _ storage: Storage) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: storage.byteCount)
    let view = unsafe TensorView(
      address: storage.address, shape: Shape(1, storage.byteCount), dataType: .uint8)
    unsafe try bytes.withUnsafeMutableBytes { unsafe try backend.download(view, to: $0) }
    return bytes
  }

  @Test func `what is sent arrives in its place, and nothing else does`() throws {
    let backend = try KernelBackend(.emulated)
    let (storage, block) = try block(backend, from: 32, byteCount: 64)
    try send(1, 0..<64, block)
    try send(2, 16..<40, block)
    try send(3, 63..<64, block)
    try block.send(0..<0)
    let found = try bytes(backend, storage)
    #expect(found[32..<48].allSatisfy { $0 == 1 })
    #expect(found[48..<72].allSatisfy { $0 == 2 })
    #expect(found[72..<95].allSatisfy { $0 == 1 })
    #expect(found[95] == 3)
  }

  @Test func `each piece is one copy, and host memory is not the one that was sent last`() throws {
    let backend = try KernelBackend(.emulated)
    let (storage, block) = try block(backend, from: 0, byteCount: 16)
    let before = backend.sentCopies
    let first = try unsafe block.open()
    try block.send(0..<16)
    let second = try unsafe block.open()
    try block.send(4..<8)
    #expect(unsafe first != second)
    #expect(backend.sentCopies == before + 2)
    try block.send(0..<0)
    #expect(backend.sentCopies == before + 2)
    withExtendedLifetime(storage) {}
  }

  @Test func `uploads are counted, larger than a staging buffer by pieces`() throws {
    let backend = try KernelBackend(.emulated)
    let storage = try backend.allocate(byteCount: 5 << 20)
    let view = unsafe TensorView(
      address: storage.address, shape: Shape(1, storage.byteCount), dataType: .uint8)
    let before = backend.sentCopies
    let bytes = [UInt8](repeating: 7, count: storage.byteCount)
    unsafe try bytes.withUnsafeBytes { unsafe try backend.upload($0, to: view) }
    #expect(backend.sentCopies == before + 2)
    withExtendedLifetime(storage) {}
  }
}

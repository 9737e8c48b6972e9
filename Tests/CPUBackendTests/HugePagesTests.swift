import CPUBackend
import Glibc
import TestSupport
import Testing

@Suite("Weights in huge pages")
struct HugePagesTests {
  /// Private, read-only memory as a mapped file is, full of random blocks whose length divides no page's: a page that
  /// went astray shows.
  private final class Region: Sendable {
    private let address: UInt
    private let byteCount: Int
    private let block: [UInt8]

    init(byteCount: Int) throws {
      let memory = unsafe mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      let start = unsafe try #require(memory)
      // MAP_FAILED is −1.
      try #require(UInt(bitPattern: start) != UInt.max)
      address = UInt(bitPattern: start)
      self.byteCount = byteCount
      var generator = SeededGenerator(seed: 1)
      block = (0..<65_521).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      for offset in stride(from: 0, to: byteCount, by: block.count) {
        unsafe memcpy(start + offset, block, min(block.count, byteCount - offset))
      }
      unsafe mprotect(start, byteCount, PROT_READ)
    }

    deinit { unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), byteCount) }

    @unsafe private var bytes: UnsafeRawBufferPointer {
      unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: byteCount)
    }

    var isWhole: Bool {
      unsafe block.withUnsafeBytes { expected in
        stride(from: 0, to: byteCount, by: expected.count).allSatisfy { offset in
          let found = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[offset..<min(offset + expected.count, byteCount)])
          return unsafe isEqual(found, expected)
        }
      }
    }

    /// Whether the bytes are the first of the expected ones; libc is quick in a debug build, too.
    private func isEqual(_ found: UnsafeRawBufferPointer, _ expected: UnsafeRawBufferPointer) -> Bool {
      guard let left = found.baseAddress, let right = expected.baseAddress else { return false }
      return unsafe memcmp(left, right, found.count) == 0
    }

    /// The bytes of the huge pages that lie in it as a whole.
    var movable: Int {
      let page = UInt(2 << 20)
      let (start, end) = ((address + page - 1) / page, (address + UInt(byteCount)) / page)
      return Int((max(end, start) - start) * page)
    }

    func move(leaving spare: Int = 0, keepGoing: () -> Bool = { true }) -> Int {
      unsafe HugePages.move(bytes, leaving: spare, keepGoing: keepGoing)
    }
  }

  @Test(
    "the same bytes stay at the same addresses, whoever reads meanwhile", arguments: [9 << 20, 131_076 << 10])
  func move(_ byteCount: Int) async throws {
    let region = try Region(byteCount: byteCount)
    let reader = Task.detached {
      var isWhole = true
      repeat { isWhole = isWhole && region.isWhole } while !Task.isCancelled
      return isWhole
    }
    let moved = region.move()
    reader.cancel()
    #expect(moved == (HugePages.areAvailable ? region.movable : 0) && region.isWhole)
    #expect(await reader.value)
  }

  @Test("less than a page, no memory to spare, or no wish to go on: all stays as it is")
  func nothing() throws {
    let small = try Region(byteCount: 4 << 10)
    #expect(small.move() == 0 && small.isWhole)
    let region = try Region(byteCount: 9 << 20)
    if AvailableMemory.bytes != nil { #expect(region.move(leaving: 1 << 60) == 0) }
    #expect(region.move(keepGoing: { false }) == 0 && region.isWhole)
  }

  @Test("a container's limit counts, its file cache does not")
  func limits() {
    func left(_ limit: String, _ used: String, _ file: String) -> Int? {
      AvailableMemory.left(limit: limit, used: used, statistics: "anon 5\nfile \(file)\nkernel 7\n")
    }
    #expect(left("1000\n", "600\n", "250") == 650)
    #expect(left("1000\n", "1200\n", "0") == 0)
    #expect(left("1000\n", "100\n", "250") == 1000)
    #expect(left("max\n", "600\n", "250") == nil)
    #expect(AvailableMemory.left(limit: "1000", used: "600", statistics: "") == 400)
  }
}

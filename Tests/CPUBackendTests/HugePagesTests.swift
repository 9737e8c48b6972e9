import CPUBackend
import Glibc
import Testing

@Suite("Weights in huge pages")
struct HugePagesTests {
  /// Private, read-only memory as a mapped file is, each word its own index.
  @safe
  private final class Region: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let base: UnsafeMutableRawPointer

    init(byteCount: Int) throws {
      let memory = unsafe mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      base = try #require(unsafe memory)
      let words = unsafe base.bindMemory(to: UInt32.self, capacity: byteCount / 4)
      for index in 0..<byteCount / 4 { unsafe words[index] = UInt32(truncatingIfNeeded: index) }
      unsafe mprotect(base, byteCount, PROT_READ)
      unsafe bytes = UnsafeRawBufferPointer(start: base, count: byteCount)
    }

    deinit { unsafe munmap(base, bytes.count) }

    var isWhole: Bool {
      unsafe bytes.withMemoryRebound(to: UInt32.self) { words in
        unsafe words.indices.allSatisfy { unsafe words[$0] == UInt32(truncatingIfNeeded: $0) }
      }
    }

    /// The bytes of the huge pages that lie in it as a whole.
    var movable: Int {
      let page = UInt(2 << 20)
      let start = (UInt(bitPattern: bytes.baseAddress) + page - 1) / page
      let end = (UInt(bitPattern: bytes.baseAddress) + UInt(bytes.count)) / page
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
    let reader = Task.detached { (0..<4).allSatisfy { _ in region.isWhole } }
    let moved = region.move()
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

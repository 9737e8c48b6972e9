import Testing

@testable import Tokenizers

@Suite("Scratch pool")
struct ScratchPoolTests {
  private static func marked(_ mark: UInt8) -> EncodeScratch {
    var scratch = EncodeScratch()
    scratch.spelling = [mark]
    return scratch
  }

  @Test("what is given is taken once")
  func once() {
    let pool = ScratchPool()
    #expect(pool.take().spelling.isEmpty)
    pool.give(Self.marked(7))
    #expect(pool.take().spelling == [7])
    #expect(pool.take().spelling.isEmpty)
  }

  @Test("eight are kept, and each comes back once")
  func full() {
    let pool = ScratchPool()
    for mark in 1...10 { pool.give(Self.marked(UInt8(mark))) }
    let taken = (1...10).map { _ in pool.take().spelling }
    #expect(Set(taken.filter { !$0.isEmpty }) == Set((1...8).map { [UInt8($0)] }))
    #expect(taken.filter(\.isEmpty).count == 2)
  }
}

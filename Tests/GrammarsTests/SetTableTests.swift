import TestSupport
import Testing

@testable import Grammars

@Suite("Numbers of sets")
struct SetTableTests {
  @Test("are those of a dictionary")
  func dictionary() {
    var generator = SeededGenerator(seed: 11)
    var table = SetTable()
    var numbers: [[UInt64]: Int] = [:]
    for _ in 0..<2000 {
      let length = Int.random(in: 0...4, using: &generator)
      // Places above stacks, as states have them, so that low and high bits repeat.
      let set = (0..<length).map { _ in
        UInt64.random(in: 0..<6, using: &generator) << 32 | UInt64.random(in: 0..<5, using: &generator)
      }
      let (number, isNew) = table.number(set)
      #expect(isNew == (numbers[set] == nil))
      let expected = numbers[set] ?? numbers.count
      numbers[set] = expected
      #expect(number == expected)
      #expect(Array(table.items[table.range(number)]) == set)
    }
    #expect(table.count == numbers.count && table.count > 200)
  }
}

import TestSupport
import Testing

@testable import Generation

@Suite struct StopMatcherTests {
  /// The definition: the least end of any stop string; of those that end there, the earliest start.
  private func reference(_ text: String, _ stops: [String], include: Bool) -> (String, String?) {
    let bytes = Array(text.utf8)
    let ordered = stops.filter { !$0.isEmpty }.sorted { $0.utf8.count > $1.utf8.count }
    for end in 0...bytes.count {
      for stop in ordered where bytes[..<end].suffix(stop.utf8.count) == ArraySlice(stop.utf8) {
        let kept = include ? end : end - stop.utf8.count
        return (String(decoding: bytes[..<kept], as: UTF8.self), stop)
      }
    }
    return (text, nil)
  }

  @Test("Any cut of the text gives the same result as a search of the whole", arguments: 0..<60)
  func anyCut(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let alphabet: [Character] = seed % 2 == 0 ? ["a", "b"] : ["a", "b", "é", "日", "🙂", "e\u{301}"]
    func word(_ length: ClosedRange<Int>) -> String {
      String(
        (0..<Int.random(in: length, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a"
        })
    }
    for _ in 0..<20 {
      let text = word(0...40)
      let stops = (0..<Int.random(in: 0...4, using: &random)).map { _ in word(1...7) }
      let include = Bool.random(using: &random)
      let (expected, found) = reference(text, stops, include: include)
      var matcher = StopMatcher(stops, includesMatch: include)
      var shown = ""
      var rest = Substring(text)
      while !rest.isEmpty {
        let piece = rest.unicodeScalars.prefix(Int.random(in: 1...5, using: &random))
        rest = Substring(rest.unicodeScalars.dropFirst(piece.count))
        shown += matcher.append(String(piece))
        // Nothing is shown that would have to be taken back.
        #expect(Array(expected.utf8).starts(with: Array(shown.utf8)))
      }
      shown += matcher.finish()
      #expect(Array(shown.utf8) == Array(expected.utf8), "\(text) \(stops)")
      #expect(matcher.match.map { Array($0.utf8) } == found.map { Array($0.utf8) })
    }
  }

  @Test("Only what may become a stop string is held back")
  func heldBack() {
    var matcher = StopMatcher(["</end>"])
    #expect(matcher.append("one <") == "one ")
    #expect(matcher.append("/e") == "")
    #expect(matcher.append("x") == "</ex")
    #expect(matcher.append(" </en") == " ")
    #expect(matcher.finish() == "</en")
  }

  @Test("A stop string that ends before searching starts is passed over, one that ends later is found")
  func notYetSearching() {
    var matcher = StopMatcher(["ab", "bc"])
    #expect(matcher.append("xab", searching: false) == "xa")
    #expect(matcher.append("c") == "")
    #expect(matcher.match == "bc")
    #expect(matcher.append("more") == "")
    #expect(matcher.finish() == "")
  }

  @Test("A megabyte of stop string costs no more a byte than a short one")
  func longStop() {
    let stop = String(repeating: "a", count: 1 << 20) + "b"
    var matcher = StopMatcher([stop])
    #expect(matcher.append(String(repeating: "a", count: 1000)) == "")
    #expect(matcher.append("c") == String(repeating: "a", count: 1000) + "c")
  }
}

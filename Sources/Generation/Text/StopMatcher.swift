/// Finds stop strings in text that grows, and says which text is safe to show.
///
/// Works on UTF-8 bytes, one Knuth–Morris–Pratt automaton a stop string: its state is the length of the longest
/// prefix of the stop string that the text now ends with. What may still become a stop string is held back:
///
/// ```
/// text so far    ... there is no e n
/// stop "end"                     └─┘ state 2: held back
///                └─────────────┘     shown
/// ```
/// The first stop string to be complete ends the text; of two complete at the same byte, the longer one. So the
/// result depends on the bytes only, not on how they were cut into pieces.
package struct StopMatcher: Sendable {
  private struct Automaton: Sendable {
    let text: String
    let bytes: [UInt8]
    /// `fallback[n]`: the longest proper prefix of the stop string that its first `n` bytes end with.
    let fallback: [Int]
    var state = 0

    init(_ text: String) {
      self.text = text
      bytes = Array(text.utf8)
      var fallback = Array(repeating: 0, count: bytes.count + 1)
      var length = 0
      for index in 1..<max(bytes.count, 1) {
        while length > 0 && bytes[index] != bytes[length] { length = fallback[length] }
        if bytes[index] == bytes[length] { length += 1 }
        fallback[index + 1] = length
      }
      self.fallback = fallback
    }

    /// Takes one byte; true when the stop string is complete with it.
    mutating func advance(_ byte: UInt8) -> Bool {
      if state == bytes.count { state = fallback[state] }
      while state > 0 && bytes[state] != byte { state = fallback[state] }
      if bytes[state] == byte { state += 1 }
      return state == bytes.count
    }

    /// Trailing bytes of the text that may still become this stop string.
    var held: Int { state == bytes.count ? fallback[state] : state }
  }

  private var automata: [Automaton]
  private let includesMatch: Bool
  private var pending: [UInt8] = []
  /// The stop string that ended the text.
  package private(set) var match: String?

  /// - Parameter includesMatch: the text ends with the stop string instead of before it.
  package init(_ stops: [String], includesMatch: Bool = false) {
    automata = stops.filter { !$0.isEmpty }.map(Automaton.init)
    self.includesMatch = includesMatch
  }

  /// Takes more text (whole characters) and returns what can be shown now.
  /// - Parameter searching: false lets stop strings that end in this piece pass.
  package mutating func append(_ text: String, searching: Bool = true) -> String {
    if match != nil { return "" }
    if automata.isEmpty { return text }
    for byte in text.utf8 {
      pending.append(byte)
      var longest: Int?
      for index in automata.indices where automata[index].advance(byte) {
        if automata[index].bytes.count > longest.map({ automata[$0].bytes.count }) ?? 0 { longest = index }
      }
      if searching, let longest {
        match = automata[longest].text
        return take(pending.count - (includesMatch ? 0 : automata[longest].bytes.count))
      }
    }
    return take(pending.count - (automata.lazy.map(\.held).max() ?? 0))
  }

  /// The text is over without a match: returns what was held back.
  package mutating func finish() -> String {
    match == nil ? take(pending.count) : ""
  }

  private mutating func take(_ count: Int) -> String {
    let shown = String(decoding: pending[..<count], as: UTF8.self)
    pending.removeFirst(count)
    return shown
  }
}

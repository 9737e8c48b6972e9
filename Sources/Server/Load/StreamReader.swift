/// Reads a streamed completion as its bytes arrive: status line, headers, and the events of the body.
///
/// Chunk sizes of the transfer coding stand on lines of their own and are passed over like every line that is no event.
struct StreamReader {
  private var line: [UInt8] = []
  private(set) var status: Int?
  /// Events with text.
  private(set) var textEvents = 0
  private(set) var isDone = false
  /// From the usage event, when the server sends one.
  private(set) var completionTokens: Int?

  /// Takes the next bytes; says whether an event with text was among them.
  mutating func consume(_ bytes: ArraySlice<UInt8>) -> Bool {
    let before = textEvents
    for byte in bytes {
      if byte != UInt8(ascii: "\n") {
        line.append(byte)
        continue
      }
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      finishLine()
      line.removeAll(keepingCapacity: true)
    }
    return textEvents > before
  }

  private mutating func finishLine() {
    if status == nil {
      let words = line.split(separator: UInt8(ascii: " "))
      status = words.count > 1 ? Int(String(decoding: words[1], as: UTF8.self)) ?? 0 : 0
      return
    }
    guard line.starts(with: Self.prefix) else { return }
    let event = line.dropFirst(Self.prefix.count)
    if event.elementsEqual("[DONE]".utf8) {
      isDone = true
    } else if let count = Self.number(after: "\"completion_tokens\":", in: event) {
      completionTokens = count
    } else if Self.contains("\"choices\":[{", in: event) {
      textEvents += 1
    }
  }

  private static let prefix = Array("data: ".utf8)

  private static func contains(_ text: String, in bytes: ArraySlice<UInt8>) -> Bool {
    position(after: text, in: bytes) != nil
  }

  private static func number(after text: String, in bytes: ArraySlice<UInt8>) -> Int? {
    guard let start = position(after: text, in: bytes) else { return nil }
    let digits = bytes[start...].drop { $0 == UInt8(ascii: " ") }.prefix { $0 >= 48 && $0 <= 57 }
    return Int(String(decoding: digits, as: UTF8.self))
  }

  private static func position(after text: String, in bytes: ArraySlice<UInt8>) -> Int? {
    let pattern = Array(text.utf8)
    guard bytes.count >= pattern.count else { return nil }
    for start in bytes.startIndex...(bytes.endIndex - pattern.count)
    where bytes[start] == pattern[0] && bytes[start..<start + pattern.count].elementsEqual(pattern) {
      return start + pattern.count
    }
    return nil
  }
}

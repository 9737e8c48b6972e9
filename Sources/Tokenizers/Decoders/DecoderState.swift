/// Where a decoding stands: what has been read but can't be written yet.
struct DecoderState: Sendable {
  /// A token whose text waits for the next one.
  private var delayed: Int32?
  private var sawToken = false
  private var wroteToken = false
  /// The bytes of the run in hand, which are text only if all together are valid.
  private var run: [UInt8] = []
  /// The beginning of a character whose end is missing.
  private var tail: [UInt8] = []
  private var strippedCount = 0
  private var strippingStart = true
  /// Characters that are taken from the end should the text end here.
  private var strippedEnd: [UInt8] = []
  /// The whole text, when the last stages can't be done as it comes.
  private var whole: [UInt8] = []

  init() {}

  /// Reads one token and appends the text that is certain now. It ends inside no character; bytes in it that
  /// are no UTF-8 are still to be repaired.
  mutating func append(_ id: Int32, _ tokens: DecodingTables, to output: inout [UInt8]) {
    if tokens.isPlainBytes { return appendPlain(id, tokens, to: &output) }
    if !tokens.decoder.needsNext { return read(id, isLast: false, tokens, to: &output) }
    if let last = delayed { read(last, isLast: false, tokens, to: &output) }
    delayed = id
  }

  /// Appends what was held back and starts anew.
  mutating func finish(_ tokens: DecodingTables, to output: inout [UInt8]) {
    if let last = delayed { read(last, isLast: true, tokens, to: &output) }
    endRun(tokens, to: &output)
    if !tail.isEmpty { write(Array(String(decoding: tail, as: UTF8.self).utf8), tokens, to: &output) }
    if !tokens.decoder.final.isEmpty {
      let text = tokens.decoder.final.reduce(whole) { $1.apply(to: $0, isFirst: true, isLast: true) }
      output.append(contentsOf: text)
    }
    self = DecoderState()
  }

  private mutating func appendPlain(_ id: Int32, _ tokens: DecodingTables, to output: inout [UInt8]) {
    output.append(contentsOf: tail)
    tail.removeAll(keepingCapacity: true)
    tokens.texts.appendText(of: id, to: &output)
    let incomplete = Self.incompleteCount(output.span)
    if incomplete > 0 {
      tail.append(contentsOf: output[(output.count - incomplete)...])
      output.removeLast(incomplete)
    }
  }

  private mutating func read(
    _ id: Int32, isLast: Bool, _ tokens: DecodingTables, to output: inout [UInt8]
  ) {
    let isPlain = !tokens.decoder.dependsOnPlace || (sawToken && !isLast)
    let text: [UInt8]
    if isPlain {
      if tokens.texts.isByte(id) {
        sawToken = true
        tokens.texts.appendText(of: id, to: &run)
        return
      }
      text = tokens.texts.text(of: id)
    } else {
      text = tokens.text(of: id, isFirst: !sawToken, isLast: isLast)
      sawToken = true
      if tokens.decoder.hasByteFallback, let byte = TokenDecoder.fallbackByte(of: text) {
        run.append(byte)
        return
      }
    }
    sawToken = true
    endRun(tokens, to: &output)
    writeToken(text, tokens, to: &output)
  }

  private mutating func endRun(_ tokens: DecodingTables, to output: inout [UInt8]) {
    if run.isEmpty { return }
    let bytes = run
    run = []
    if UTF8Validity.validPrefix(bytes.span) == bytes.count {
      writeToken(bytes, tokens, to: &output)
    } else {
      for _ in bytes { writeToken(Array("\u{FFFD}".utf8), tokens, to: &output) }
    }
  }

  private mutating func writeToken(_ token: [UInt8], _ tokens: DecodingTables, to output: inout [UInt8]) {
    var text = token
    for stage in tokens.decoder.late { text = stage.apply(to: text, isFirst: !wroteToken, isLast: false) }
    wroteToken = true
    if !tokens.decoder.joinsBytes { return write(text, tokens, to: &output) }
    tail.append(contentsOf: text)
    let complete = tail.count - Self.incompleteCount(tail.span)
    if complete == 0 { return }
    let ready = Array(String(decoding: tail[..<complete], as: UTF8.self).utf8)
    tail.removeFirst(complete)
    write(ready, tokens, to: &output)
  }

  /// Appends text of the whole, but for what the last stages take away.
  private mutating func write(_ text: [UInt8], _ tokens: DecodingTables, to output: inout [UInt8]) {
    if !tokens.decoder.final.isEmpty { return whole.append(contentsOf: text) }
    guard let strip = tokens.decoder.strip else { return output.append(contentsOf: text) }
    var rest = text[...]
    while strippingStart, strippedCount < strip.start, !rest.isEmpty {
      if rest.starts(with: strip.content) {
        rest = rest.dropFirst(strip.content.count)
        strippedCount += 1
      } else {
        strippingStart = false
      }
    }
    if strip.stop == 0 { return output.append(contentsOf: rest) }
    writeButEnd(rest, strip, to: &output)
  }

  /// Appends text and what was held before it, but for the copies at the end that may have to go.
  private mutating func writeButEnd(_ text: ArraySlice<UInt8>, _ strip: StripStage, to output: inout [UInt8])
  {
    if text.isEmpty { return }
    let all = strippedEnd + text
    var end = all.count
    for _ in 0..<strip.stop {
      guard all[..<end].suffix(strip.content.count).elementsEqual(strip.content) else { break }
      end -= strip.content.count
    }
    output.append(contentsOf: all[..<end])
    strippedEnd = Array(all[end...])
  }

  /// The number of bytes at the end that begin a character whose rest may still come.
  static func incompleteCount(_ bytes: Span<UInt8>) -> Int {
    for count in 1...3 where count <= bytes.count {
      let lead = bytes[bytes.count - count]
      if lead & 0xC0 == 0x80 { continue }
      let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
      if lead < 0xC2 || lead > 0xF4 || length <= count { return 0 }
      if count > 1, !canFollow(lead, bytes[bytes.count - count + 1]) { return 0 }
      return count
    }
    return 0
  }

  /// Whether the second byte may follow the first in valid UTF-8.
  private static func canFollow(_ lead: UInt8, _ second: UInt8) -> Bool {
    switch lead {
    case 0xE0: (0xA0...0xBF).contains(second)
    case 0xED: (0x80...0x9F).contains(second)
    case 0xF0: (0x90...0xBF).contains(second)
    case 0xF4: (0x80...0x8F).contains(second)
    default: true
    }
  }
}

/// Splits the text of an answer into content and calls of tools.
///
/// Takes bytes one at a time, so that what it says does not depend on how the text was cut: a stream and a whole answer
/// are read by the same code to the same parts. What may still become the beginning of a call is held back:
///
/// ```
/// text so far    Let me look. <tool_c        held: "<tool_c"
///                └──────────┘ content
/// ```
/// What turns out to be no call is content.
struct ToolCallReader: Sendable {
  enum Part: Sendable, Equatable {
    case content(String)
    case call(index: Int, name: String)
    /// A piece of a call's arguments.
    case arguments(index: Int, String)
  }
  private enum Place: Sendable {
    /// Text in which a call may begin anywhere.
    case text
    /// At the beginning of an answer, or behind a call: white space, and then maybe a call.
    case start
    case call
    /// Behind a call, up to what ends it.
    case behind
    /// Mistral's shorter form: the name in front of the arguments.
    case name
    case bareArguments
    /// No call comes any more.
    case rest
  }

  private let use: ToolUse
  private var place: Place
  private var scanner = CallScanner(needsArguments: true)
  private var nesting = JSONNesting()
  /// In a list of calls.
  private var isInList = false
  /// Bytes that are not known to be content or part of a call.
  private var held: [UInt8] = []
  /// In front of `held`: the marker of a call that has not begun yet.
  private var marker: [UInt8] = []
  private(set) var callCount = 0
  private var events: [CallScanner.Event] = []
  private var output: [Piece] = []

  /// Parts in the making, as bytes.
  private enum Piece: Sendable {
    case content([UInt8])
    case call(String)
    case arguments([UInt8])
  }

  init(_ use: ToolUse) {
    self.use = use
    switch use {
    case .none: place = .rest
    case .auto(.llama3JSON), .required: place = .start
    case .auto: place = .text
    case .named(let name):
      place = .bareArguments
      callCount = 1
      output = [.call(name)]
    }
  }

  /// Markers in front of a call.
  private var markers: [[UInt8]] {
    switch use {
    case .auto(.hermes): [Array("<tool_call>".utf8)]
    case .auto(.mistral): [Array("[TOOL_CALLS]".utf8)]
    case .auto(.llama3JSON): [Array("<|python_tag|>".utf8)]
    default: []
    }
  }

  mutating func append(_ text: String) -> [Part] {
    for byte in text.utf8 { take(byte) }
    return parts()
  }

  /// The text is over.
  mutating func finish() -> [Part] {
    let isUseless = place == .behind || (place == .start && callCount > 0)
    if !isUseless { content(marker + held) }
    (marker, held) = ([], [])
    place = .rest
    return parts()
  }

  private mutating func take(_ byte: UInt8) {
    switch place {
    case .rest: content([byte])
    case .text:
      held.append(byte)
      settleText()
    case .start: takeStart(byte)
    case .call: takeCall(byte)
    case .behind: takeBehind(byte)
    case .name: takeName(byte)
    case .bareArguments: takeArguments(byte)
    }
  }

  /// Gives what can't be the beginning of a marker.
  private mutating func settleText() {
    while !held.isEmpty {
      if markers.contains(held) {
        beginCall()
        return
      }
      if markers.contains(where: { $0.starts(with: held) }) { return }
      content([held.removeFirst()])
    }
  }

  private mutating func beginCall() {
    if case .auto(.mistral) = use {
      place = .start
      (marker, held) = (held, [])
    } else {
      place = .call
      scanner = CallScanner(needsArguments: use != .auto(.hermes))
    }
  }

  private mutating func takeStart(_ byte: UInt8) {
    held.append(byte)
    if byte.isJSONSpace { return }
    let begun = held.drop { $0.isJSONSpace }
    if case .auto(.llama3JSON) = use, byte != UInt8(ascii: "{") || begun.count > 1 {
      if markers.contains(Array(begun)) {
        held = []
        return
      }
      if markers.contains(where: { $0.starts(with: begun) }) { return }
      return giveUp()
    }
    let isObject = byte == UInt8(ascii: "{") && (isInList || use == .auto(.llama3JSON))
    switch (byte, use) {
    case _ where isObject:
      place = .call
      scanner = CallScanner(needsArguments: true)
      held.removeLast()
      takeCall(byte)
    case (UInt8(ascii: "["), .required), (UInt8(ascii: "["), .auto(.mistral)):
      isInList = true
    case (_, .auto(.mistral)) where !isInList:
      place = .name
    default: giveUp()
    }
  }

  private mutating func takeCall(_ byte: UInt8) {
    held.append(byte)
    scanner.take(byte, &events)
    for event in events {
      (marker, held) = ([], [])
      switch event {
      case .began(let name):
        output.append(.call(name))
        callCount += 1
      case .arguments(let bytes): output.append(.arguments(bytes))
      }
    }
    events.removeAll(keepingCapacity: true)
    switch scanner.status {
    case .reading: if scanner.hasBegun { held = [] }
    case .done:
      (marker, held) = ([], [])
      place = .behind
    case .failed: giveUp()
    }
  }

  private mutating func takeBehind(_ byte: UInt8) {
    held.append(byte)
    if byte.isJSONSpace { return }
    let text = Array(held.drop { $0.isJSONSpace })
    switch use {
    case .auto(.hermes):
      for end in [Array("</tool_call>".utf8), Array("<tool_call>".utf8)] where end.starts(with: text) {
        if text.count < end.count { return }
        held = []
        if end[1] == UInt8(ascii: "t") { beginCall() }
        return
      }
      giveUp()
    case .auto(.llama3JSON):
      if text == [UInt8(ascii: ";")] {
        held = []
        place = .start
      } else {
        giveUp()
      }
    case .auto(.mistral) where !isInList:
      if markers[0].starts(with: text) {
        if text.count < markers[0].count { return }
        held = []
        beginCall()
      } else {
        giveUp()
      }
    default:
      // In a list.
      if text == [UInt8(ascii: ",")] {
        held = []
        place = .start
      } else if text == [UInt8(ascii: "]")] {
        held = []
        isInList = false
      } else {
        giveUp()
      }
    }
  }

  /// `name[ARGS]{…}` or `name{…}`, maybe with `[CALL_ID]…` between.
  private mutating func takeName(_ byte: UInt8) {
    held.append(byte)
    guard byte == UInt8(ascii: "{") else {
      if held.count > 256 { giveUp() }
      return
    }
    var name = held.dropLast().drop { $0.isJSONSpace }
    if let bracket = name.firstIndex(of: UInt8(ascii: "[")) { name = name[..<bracket] }
    while let last = name.last, last.isJSONSpace { name = name.dropLast() }
    if name.isEmpty { return giveUp() }
    output.append(.call(String(decoding: name, as: UTF8.self)))
    callCount += 1
    (marker, held) = ([], [])
    nesting = JSONNesting()
    place = .bareArguments
    takeArguments(byte)
  }

  private mutating func takeArguments(_ byte: UInt8) {
    output.append(.arguments([byte]))
    if case .named = use { return }
    nesting.take(byte)
    if nesting.isOver { place = .behind }
  }

  /// This is no call: all that was held is content, and in the dialects without a marker so is all that comes.
  private mutating func giveUp() {
    let bytes = marker + held
    (marker, held) = ([], [])
    isInList = false
    switch use {
    case .auto(.hermes), .auto(.mistral):
      place = .text
      // The first byte is content whatever it is; behind it a call may begin again.
      content(Array(bytes.prefix(1)))
      for byte in bytes.dropFirst() { take(byte) }
    default:
      place = .rest
      content(bytes)
    }
  }

  private mutating func content(_ bytes: [UInt8]) {
    if !bytes.isEmpty { output.append(.content(bytes)) }
  }

  /// What has come, neighbours of one kind put together.
  private mutating func parts() -> [Part] {
    var result: [Part] = []
    var bytes: [UInt8] = []
    var index = callCount - output.reduce(0) { if case .call = $1 { $0 + 1 } else { $0 } } - 1
    for (place, piece) in output.enumerated() {
      switch piece {
      case .call(let name):
        index += 1
        result.append(.call(index: index, name: name))
      case .content(let more):
        bytes += more
        if place + 1 < output.count, case .content = output[place + 1] { continue }
        result.append(.content(String(decoding: bytes, as: UTF8.self)))
        bytes = []
      case .arguments(let more):
        bytes += more
        if place + 1 < output.count, case .arguments = output[place + 1] { continue }
        result.append(.arguments(index: index, String(decoding: bytes, as: UTF8.self)))
        bytes = []
      }
    }
    output.removeAll(keepingCapacity: true)
    return result
  }
}

internal import JSON

/// Reads one call written as a JSON object, byte by byte: `{"name": "f", "arguments": {…}}`.
///
/// The arguments are handed on as they were written, as they come. Members other than the name and the arguments are
/// passed over.
struct CallScanner: Sendable {
  enum Event: Sendable, Equatable {
    /// The name is known and the arguments have begun, or are not going to come.
    case began(name: String)
    case arguments([UInt8])
  }
  enum Status: Sendable, Equatable {
    case reading
    /// The object is over.
    case done
    /// This is no call.
    case failed
  }
  private enum Place: Sendable {
    case start, key, insideKey, colon, value, insideName, insideArguments, insideText, insideOther, comma
  }

  private(set) var status = Status.reading
  private var place = Place.start
  private var nesting = JSONNesting()
  private var isFirst = true
  /// The key, the name, or arguments before the name, as written.
  private var held: [UInt8] = []
  private var key = ""
  private var name: String?
  private var hasArguments = false
  private(set) var hasBegun = false
  /// Arguments that came before the name.
  private var early: [UInt8] = []
  /// A call without arguments is one.
  private let needsArguments: Bool

  init(needsArguments: Bool) { self.needsArguments = needsArguments }

  /// Takes a byte, unless the object is over.
  mutating func take(_ byte: UInt8, _ events: inout [Event]) {
    switch place {
    case .start:
      if byte == UInt8(ascii: "{") { place = .key } else if !byte.isJSONSpace { status = .failed }
    case .key:
      if byte == UInt8(ascii: "\"") {
        place = .insideKey
        open(byte)
      } else if byte == UInt8(ascii: "}"), isFirst {
        finish(&events)
      } else if !byte.isJSONSpace {
        status = .failed
      }
    case .insideKey:
      held.append(byte)
      nesting.take(byte)
      if nesting.isOver {
        key = Self.text(held) ?? ""
        place = .colon
      }
    case .colon:
      if byte == UInt8(ascii: ":") { place = .value } else if !byte.isJSONSpace { status = .failed }
    case .value: if !byte.isJSONSpace { begin(byte, &events) }
    case .insideName, .insideText:
      held.append(byte)
      nesting.take(byte)
      if nesting.isOver { closeText(&events) }
    case .insideArguments:
      nesting.take(byte)
      give([byte], &events)
      if nesting.isOver { place = .comma }
    case .insideOther:
      if nesting.isScalar, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte.isJSONSpace {
        place = .comma
        take(byte, &events)
      } else {
        nesting.take(byte)
        if nesting.isOver { place = .comma }
      }
    case .comma:
      if byte == UInt8(ascii: ",") {
        isFirst = false
        place = .key
      } else if byte == UInt8(ascii: "}") {
        finish(&events)
      } else if !byte.isJSONSpace {
        status = .failed
      }
    }
  }

  private mutating func open(_ byte: UInt8) {
    held = [byte]
    nesting = JSONNesting()
    nesting.take(byte)
  }

  private mutating func begin(_ byte: UInt8, _ events: inout [Event]) {
    open(byte)
    let isText = byte == UInt8(ascii: "\"")
    if key == "name", isText, name == nil {
      place = .insideName
    } else if key == "arguments" || key == "parameters", !hasArguments {
      // Some models write the arguments as JSON inside a text.
      if isText {
        place = .insideText
      } else if byte == UInt8(ascii: "{") {
        hasArguments = true
        place = .insideArguments
        give([byte], &events)
      } else {
        place = .insideOther
      }
    } else {
      place = .insideOther
    }
  }

  private mutating func closeText(_ events: inout [Event]) {
    let text = Self.text(held)
    defer { place = .comma }
    guard let text else {
      status = .failed
      return
    }
    if place == .insideName {
      name = text
      if hasArguments { give([], &events) }
    } else {
      hasArguments = true
      give(Array(text.utf8), &events)
    }
  }

  private mutating func give(_ bytes: [UInt8], _ events: inout [Event]) {
    early += bytes
    guard let name else { return }
    if !hasBegun {
      hasBegun = true
      events.append(.began(name: name))
    }
    if !early.isEmpty { events.append(.arguments(early)) }
    early = []
  }

  private mutating func finish(_ events: inout [Event]) {
    guard name != nil, hasArguments || !needsArguments else {
      status = .failed
      return
    }
    if !hasArguments {
      hasArguments = true
      give(Array("{}".utf8), &events)
    }
    status = .done
  }

  private static func text(_ quoted: [UInt8]) -> String? { (try? JSONValue.parse(quoted))?.string }
}

/// Where a JSON value ends, told byte by byte.
struct JSONNesting: Sendable {
  private var depth = 0
  private var isInString = false
  private var isEscaped = false
  private var hasBegun = false
  /// A number or a word: it ends where something else begins.
  private(set) var isScalar = false
  private(set) var isOver = false

  mutating func take(_ byte: UInt8) {
    if isInString {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isInString = false
        isOver = depth == 0
      }
      return
    }
    switch byte {
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      depth -= 1
      isOver = depth <= 0
    default: if !hasBegun { isScalar = true }
    }
    hasBegun = true
  }
}

extension UInt8 {
  var isJSONSpace: Bool { self == 0x20 || self == 0x0A || self == 0x0D || self == 0x09 }
}

internal import JSON

/// A `tokenizer.json` as read, before its parts are checked against each other.
///
/// The vocabulary and the merges may have hundreds of thousands of entries in any order of keys; they are kept
/// as flat text and looked at once everything else is known.
struct TokenizerFile {
  /// Everything but the vocabulary and the merges.
  var stages = JSONObject()
  var model = JSONObject()
  var vocabulary = RawVocabulary()
  var merges = RawMerges()

  init(_ bytes: [UInt8]) throws(TokenizerError) {
    do throws(JSONError) {
      var scanner = try JSONScanner(bytes)
      try scanner.beginObject()
      while let key = try scanner.nextKey() {
        if key == "model", try scanner.peekKind() == .object {
          try readModel(&scanner)
        } else {
          stages[key] = try scanner.value()
        }
      }
      try scanner.finish()
    } catch {
      throw .invalidJSON(error)
    }
  }

  private mutating func readModel(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      switch (key, try scanner.peekKind()) {
      case ("vocab", .object): try vocabulary.readMap(&scanner)
      case ("vocab", .array): try vocabulary.readList(&scanner)
      case ("merges", .array): try merges.read(&scanner)
      default: model[key] = try scanner.value()
      }
    }
  }
}

/// Tokens with ids, or with scores and their place in a list as id.
struct RawVocabulary {
  private(set) var text: [UInt8] = []
  /// Where each token ends in `text`.
  private(set) var ends: [Int] = []
  /// As in the file, unchecked.
  private(set) var ids: [Int] = []
  private(set) var scores: [Double] = []

  var count: Int { ends.count }

  func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  func string(_ index: Int) -> String { String(decoding: text[range(index)], as: UTF8.self) }

  /// `{"token": id, …}`
  mutating func readMap(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.beginObject()
    while try scanner.nextKey(into: &text) {
      ends.append(text.count)
      ids.append(try scanner.int())
    }
  }

  /// `[["token", score], …]`
  mutating func readList(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.beginArray()
    while try scanner.nextElement() {
      try scanner.beginArray()
      guard try scanner.nextElement() else {
        throw scanner.error(.unexpectedCharacter(0x5D, expected: "a token"))
      }
      try scanner.string(into: &text)
      ends.append(text.count)
      guard try scanner.nextElement() else {
        throw scanner.error(.unexpectedCharacter(0x5D, expected: "a score"))
      }
      scores.append(try scanner.double())
      ids.append(ids.count)
      while try scanner.nextElement() { try scanner.skipValue() }
    }
  }

  mutating func append(_ token: [UInt8], score: Double? = nil) {
    text.append(contentsOf: token)
    ends.append(text.count)
    ids.append(ids.count)
    if let score { scores.append(score) }
  }
}

/// Merges in order, each as the text of its two halves.
struct RawMerges {
  private(set) var text: [UInt8] = []
  /// Where the halves end in `text`: two numbers for each merge. A merge that is not "left right" ends both
  /// at the same place.
  private(set) var ends: [Int] = []

  var count: Int { ends.count / 2 }

  func left(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[2 * index - 1])..<ends[2 * index] }
  func right(_ index: Int) -> Range<Int> { ends[2 * index]..<ends[2 * index + 1] }

  /// `["left right", …]` or `[["left", "right"], …]`
  mutating func read(_ scanner: inout JSONScanner) throws(JSONError) {
    var line: [UInt8] = []
    try scanner.beginArray()
    while try scanner.nextElement() {
      if try scanner.peekKind() == .array {
        try readPair(&scanner)
      } else {
        line.removeAll(keepingCapacity: true)
        try scanner.string(into: &line)
        append(line)
      }
    }
  }

  private mutating func readPair(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.beginArray()
    for half in ["the left half", "the right half"] {
      guard try scanner.nextElement() else { throw scanner.error(.unexpectedCharacter(0x5D, expected: half)) }
      try scanner.string(into: &text)
      ends.append(text.count)
    }
    if try scanner.nextElement() {
      throw scanner.error(.unexpectedCharacter(0x2C, expected: "the end of a merge"))
    }
  }

  /// "left right"
  mutating func append(_ line: [UInt8]) {
    if let space = line.firstIndex(of: UInt8(ascii: " ")), line.lastIndex(of: UInt8(ascii: " ")) == space {
      text.append(contentsOf: line[..<space])
      ends.append(text.count)
      text.append(contentsOf: line[(space + 1)...])
    } else {
      ends.append(text.count)
    }
    ends.append(text.count)
  }
}

/// A token that is found in the text itself, before the model sees it (`added_tokens`).
struct AddedToken: Equatable, Sendable {
  var id: Int32
  var content: [UInt8]
  /// Only where no letter, digit or mark touches it.
  var isSingleWord = false
  /// It takes the white space on its left, or right, with it.
  var stripsLeft = false
  var stripsRight = false
  /// It is looked for in the normalized text, normalized itself; else in the text as it came.
  var isNormalized = false
  /// Left out of decoded text on request.
  var isSpecial = false
}

/// The added tokens, ready to be found.
struct AddedVocabulary: Sendable {
  private(set) var tokens: [AddedToken] = []
  private var places: [Int32: Int] = [:]
  private var ids: [[UInt8]: Int32] = [:]
  private var rawFinder = AddedTokenFinder()
  private var normalizedFinder = AddedTokenFinder()

  init() {}

  /// - Parameter unspelled: tokens that have an id and a spelling, but are not looked for.
  init(
    _ tokens: [AddedToken], unspelled: [AddedToken] = [], normalizer: Normalizer?
  ) throws(TokenizerError) {
    for token in unspelled { add(token) }
    for token in tokens where !token.content.isEmpty {
      let place = add(token)
      if token.isNormalized {
        let content = try normalizer?.normalize(token.content.span) ?? token.content
        if !content.isEmpty { normalizedFinder.insert(content, place: place) }
      } else {
        rawFinder.insert(token.content, place: place)
      }
    }
  }

  @discardableResult
  private mutating func add(_ token: AddedToken) -> Int {
    places[token.id] = tokens.count
    ids[token.content] = token.id
    tokens.append(token)
    return tokens.count - 1
  }

  /// One more than the greatest id.
  var endID: Int { tokens.reduce(0) { max($0, Int($1.id) + 1) } }

  func token(_ id: Int32) -> AddedToken? { places[id].map { tokens[$0] } }

  func id(of content: [UInt8]) -> Int32? { ids[content] }

  var findsInNormalizedText: Bool { !normalizedFinder.isEmpty }

  /// Cuts a text at the tokens that are looked for in it as it came.
  func segmentsOfRawText(_ text: Span<UInt8>, parsesSpecial: Bool) -> [TextSegment] {
    rawFinder.segments(of: text, tokens, parsesSpecial: parsesSpecial)
  }

  /// Cuts a normalized text at the other tokens.
  func segmentsOfNormalizedText(_ text: Span<UInt8>, parsesSpecial: Bool) -> [TextSegment] {
    normalizedFinder.segments(of: text, tokens, parsesSpecial: parsesSpecial)
  }
}

/// A part of a text: an added token, or plain text between them.
struct TextSegment: Equatable, Sendable {
  var range: Range<Int>
  /// The added token, or nil for plain text.
  var id: Int32?
}

/// The stage that turns one piece of text into tokens.
enum TokenModel: Sendable {
  case bytePair(BytePairModel)
  case unigram(UnigramModel)
  case wordPiece(WordPieceModel)
  case wordLevel(WordLevelModel)

  /// The values of `model.type` that are known.
  static let names = ["BPE", "Unigram", "WordPiece", "WordLevel"]

  var vocabulary: Vocabulary {
    switch self {
    case .bytePair(let model): model.vocabulary
    case .unigram(let model): model.vocabulary
    case .wordPiece(let model): model.vocabulary
    case .wordLevel(let model): model.vocabulary
    }
  }

  /// Whether the vocabulary's tokens are byte strings rather than text.
  var holdsBytes: Bool {
    if case .bytePair(let model) = self, case .bytes = model.symbols { true } else { false }
  }

  var unknown: Int32? {
    switch self {
    case .bytePair(let model): model.unknown
    case .unigram(let model): model.unknown
    case .wordPiece(let model): model.unknown
    case .wordLevel(let model): model.unknown
    }
  }

  func encode(
    _ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]
  ) throws(TokenizerError) {
    if piece.isEmpty { return }
    switch self {
    case .bytePair(let model): model.encode(piece, &scratch, into: &ids)
    case .unigram(let model): try model.encode(piece, &scratch, into: &ids)
    case .wordPiece(let model): model.encode(piece, &scratch, into: &ids)
    case .wordLevel(let model): try model.encode(piece, into: &ids)
    }
  }
}

/// One token for each whole piece.
struct WordLevelModel: Sendable {
  let vocabulary: Vocabulary
  let unknown: Int32?

  func encode(_ piece: Span<UInt8>, into ids: inout [Int32]) throws(TokenizerError) {
    let id = vocabulary.id(of: piece)
    if id >= 0 { return ids.append(id) }
    guard let unknown else {
      var text: [UInt8] = []
      text.append(piece)
      throw .noToken(text: String(decoding: text, as: UTF8.self))
    }
    ids.append(unknown)
  }
}

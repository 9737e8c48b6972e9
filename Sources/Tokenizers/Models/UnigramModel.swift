/// The unigram language model of SentencePiece (Kudo 2018): of all ways to cut a piece into tokens, the one
/// whose scores add up to the most (found by Viterbi's algorithm).
///
/// Ties and unknown characters are treated as the Hugging Face library does.
struct UnigramModel: Sendable {
  /// The best way to arrive at a byte: the token that ends there, and where it begins.
  struct Step: Sendable {
    var score: Double
    var start: Int32
    var id: Int32
  }

  let vocabulary: Vocabulary
  /// Logarithms of probabilities, by id.
  let scores: [Double]
  let unknown: Int32?
  let byteFallback: Bool
  private let trie: ByteTrie
  private let unknownScore: Double
  private let byteTokens: [Int32]

  /// What an unknown character costs more than the least likely token.
  private static let unknownPenalty = 10.0

  init(vocabulary: Vocabulary, scores: [Double], unknown: Int32?, byteFallback: Bool) {
    self.vocabulary = vocabulary
    self.scores = scores
    self.unknown = unknown
    self.byteFallback = byteFallback
    unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
    byteTokens = (0...255).map { vocabulary.id(of: BytePairModel.spelling(ofByte: UInt8($0))) }
    var trie = ByteTrie()
    for id in 0..<Int32(vocabulary.endID) where vocabulary.contains(id) {
      let token = vocabulary.range(of: id)
      if !token.isEmpty { trie.insert(vocabulary.bytes.span.extracting(token), value: id) }
    }
    self.trie = trie
  }

  /// Appends the tokens of one piece.
  func encode(
    _ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]
  ) throws(TokenizerError) {
    try fillLattice(piece, &scratch.lattice)
    let first = ids.count
    var end = piece.count
    // Unknown characters side by side are one token.
    var unknownEnd = -1
    while end > 0 {
      let step = scratch.lattice[end]
      let start = Int(step.start)
      if step.id == unknown {
        if unknownEnd < 0 { unknownEnd = end }
      } else {
        if unknownEnd >= 0 { appendUnknown(piece.extracting(end..<unknownEnd), to: &ids) }
        unknownEnd = -1
        ids.append(step.id)
      }
      end = start
    }
    if unknownEnd >= 0 { appendUnknown(piece.extracting(0..<unknownEnd), to: &ids) }
    ids[first...].reverse()
  }

  private func fillLattice(_ piece: Span<UInt8>, _ lattice: inout [Step]) throws(TokenizerError) {
    lattice.removeAll(keepingCapacity: true)
    lattice.append(contentsOf: repeatElement(Step(score: 0, start: -1, id: -1), count: piece.count + 1))
    var start = 0
    while start < piece.count {
      let score = lattice[start].score
      let length = UTF8Scalar.decode(piece, at: start).length
      var hasCharacter = false
      var node = ByteTrie.root
      var end = start
      while end < piece.count, let next = trie.child(of: node, piece[end]) {
        node = next
        end += 1
        let id = trie.value(of: node)
        if id < 0 { continue }
        Self.improve(&lattice[end], Step(score: score + scores[Int(id)], start: Int32(start), id: id))
        if end - start == length { hasCharacter = true }
      }
      if !hasCharacter {
        guard let unknown else {
          throw .noToken(text: text(piece.extracting(start..<start + length)))
        }
        Self.improve(
          &lattice[start + length], Step(score: score + unknownScore, start: Int32(start), id: unknown))
      }
      start += length
    }
  }

  private static func improve(_ step: inout Step, _ candidate: Step) {
    if step.start < 0 || candidate.score > step.score { step = candidate }
  }

  /// Appends in reverse, as the path is walked from its end.
  private func appendUnknown(_ text: Span<UInt8>, to ids: inout [Int32]) {
    let known = vocabulary.id(of: text)
    if known >= 0 { return ids.append(known) }
    if byteFallback, !text.indices.contains(where: { byteTokens[Int(text[$0])] < 0 }) {
      for index in text.indices.reversed() { ids.append(byteTokens[Int(text[index])]) }
    } else if let unknown {
      ids.append(unknown)
    }
  }

  private func text(_ bytes: Span<UInt8>) -> String {
    var copy: [UInt8] = []
    copy.append(bytes)
    return String(decoding: copy, as: UTF8.self)
  }
}

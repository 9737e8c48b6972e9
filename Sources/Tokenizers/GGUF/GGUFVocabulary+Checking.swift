extension GGUFVocabulary {
  private enum TokenType {
    static let normal: Int32 = 1
    static let unknown: Int32 = 2
    static let control: Int32 = 3
    static let userDefined: Int32 = 4
    static let unused: Int32 = 5
    static let byte: Int32 = 6
  }

  /// Throws unless the lists fit together and all ids are those of tokens.
  func check() throws(TokenizerError) {
    if tokens.isEmpty { throw .missing(field: "tokenizer.ggml.tokens") }
    try checkCount(scores.count, "tokenizer.ggml.scores")
    try checkCount(tokenTypes.count, "tokenizer.ggml.token_type")
    let ids: [(String, Int32?)] = [
      ("bos_token_id", bosID), ("eos_token_id", eosID), ("unknown_token_id", unknownID),
      ("padding_token_id", padID), ("cls_token_id", classifierID), ("seperator_token_id", separatorID),
    ]
    for (name, id) in ids {
      if let id, !tokens.indices.contains(Int(id)) {
        throw .outOfRange(field: "tokenizer.ggml.\(name)", value: "\(id)", allowed: "0..<\(tokens.count)")
      }
    }
  }

  private func checkCount(_ count: Int, _ field: String) throws(TokenizerError) {
    if count != 0, count != tokens.count {
      throw .conflict(field: field, reason: "\(count) entries for \(tokens.count) tokens")
    }
  }

  var raw: RawVocabulary {
    var raw = RawVocabulary()
    for token in tokens { raw.append(token) }
    return raw
  }

  func text(of id: Int32?) -> String? {
    guard let id, tokens.indices.contains(Int(id)) else { return nil }
    let token = tokens[Int(id)]
    return String(decoding: model == "bert" ? WordPieceSpelling.unmarked(token) : token, as: UTF8.self)
  }

  private func type(of id: Int) -> Int32 { tokenTypes.isEmpty ? TokenType.normal : tokenTypes[id] }

  /// The tokens that are found in the text itself.
  var addedTokens: [AddedToken] {
    let named = Set([bosID, eosID, padID, classifierID, separatorID].compactMap(\.self))
    return tokens.indices.compactMap { id in
      let type = type(of: id)
      let isSpecial =
        type == TokenType.control || type == TokenType.unknown
        || (tokenTypes.isEmpty && named.contains(Int32(id)))
      guard isSpecial || type == TokenType.userDefined else { return nil }
      let content = model == "bert" ? WordPieceSpelling.unmarked(tokens[id]) : tokens[id]
      return AddedToken(id: Int32(id), content: content, isSpecial: isSpecial)
    }
  }

  var addsBOS: Bool { addBOS ?? (model == "llama") }

  var postProcessor: PostProcessor? {
    let bos = addsBOS ? bosID : nil
    let eos = addEOS ?? false ? eosID : nil
    if bos == nil, eos == nil { return nil }
    func around(_ item: PostProcessor.Item, _ typeID: Int32) -> [PostProcessor.Item] {
      let before = bos.map { [PostProcessor.Item.special([$0], typeID: typeID)] } ?? []
      return before + [item] + (eos.map { [PostProcessor.Item.special([$0], typeID: typeID)] } ?? [])
    }
    return PostProcessor(
      single: around(.first(typeID: 0), 0),
      pair: around(.first(typeID: 0), 0) + around(.second(typeID: 1), 1))
  }

  /// SentencePiece joins the neighbours whose token has the best score: a merge's rank is the place of its
  /// token's score among all; equal scores have equal ranks, and the leftmost pair wins.
  func mergesByScore(_ vocabulary: Vocabulary) throws(TokenizerError) -> MergeTable {
    guard scores.count == tokens.count else { throw .missing(field: "tokenizer.ggml.scores") }
    if let place = scores.firstIndex(where: \.isNaN) {
      throw .outOfRange(field: "tokenizer.ggml.scores[\(place)]", value: "nan", allowed: "a number")
    }
    let joined = tokens.indices.filter { id in
      let type = type(of: id)
      return type == TokenType.normal || type == TokenType.userDefined || type == TokenType.unused
    }
    var table = MergeTable(capacity: 2 * joined.count)
    var rank = 0
    var last: Float?
    for id in joined.sorted(by: { (scores[$1], $0) < (scores[$0], $1) }) {
      if let last, last != scores[id] { rank += 1 }
      last = scores[id]
      let token = tokens[id]
      for cut in token.indices.dropFirst() where token[cut] & 0xC0 != 0x80 {
        let left = vocabulary.id(of: token.span.extracting(0..<cut))
        if left < 0 { continue }
        let right = vocabulary.id(of: token.span.extracting(cut..<token.count))
        if right >= 0 { table.insert(left, right, MergeTable.merge(rank: rank, into: Int32(id))) }
      }
    }
    return table
  }
}

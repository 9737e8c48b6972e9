extension Tokenizer {
  /// Places in a text are kept in 32 bits.
  package static let longestText = 1 << 30

  /// - Parameters:
  ///   - addSpecialTokens: apply the post-processor, which adds tokens such as BOS or `[CLS]`.
  ///   - parseSpecialTokens: a special token written in the text becomes that token; otherwise it is plain text.
  /// - Complexity: O(n log n) in the bytes of the text, whatever they are.
  package func encode(
    _ text: String, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> [Int32] {
    try encode(text.utf8Span.span, addSpecialTokens, parseSpecialTokens)
  }

  /// Bytes that are no valid UTF-8 are encoded one by one by tokenizers that know all bytes, and belong to no
  /// class of characters.
  package func encode(
    _ text: [UInt8], addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> [Int32] {
    try encode(text.span, addSpecialTokens, parseSpecialTokens)
  }

  /// Two texts as one input, with the segment number of each token (BERT's `token_type_ids`).
  package func encodePair(
    _ first: String, _ second: String, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> (ids: [Int32], typeIDs: [Int32]) {
    parts.postProcessor.applyToPair(
      try encode(first, addSpecialTokens: false, parseSpecialTokens: parseSpecialTokens),
      try encode(second, addSpecialTokens: false, parseSpecialTokens: parseSpecialTokens),
      addSpecialTokens: addSpecialTokens)
  }

  private func encode(
    _ text: Span<UInt8>, _ addSpecialTokens: Bool, _ parseSpecialTokens: Bool
  ) throws(TokenizerError) -> [Int32] {
    guard text.count <= Self.longestText else {
      throw .textTooLong(bytes: text.count, limit: Self.longestText)
    }
    var scratch = idleScratch.take()
    defer {
      scratch.shrink()
      idleScratch.give(scratch)
    }
    var ids: [Int32] = []
    ids.reserveCapacity(text.count / 4 + 4)
    if addSpecialTokens { ids.append(contentsOf: affixes.before) }
    for segment in parts.added.segmentsOfRawText(text, parsesSpecial: parseSpecialTokens) {
      if let id = segment.id {
        ids.append(id)
      } else {
        try encodeRaw(
          text.extracting(segment.range), beginsText: segment.range.lowerBound == 0, parseSpecialTokens,
          &scratch,
          into: &ids)
      }
    }
    if addSpecialTokens { ids.append(contentsOf: affixes.after) }
    return ids
  }

  /// Plain text before normalization.
  private func encodeRaw(
    _ text: Span<UInt8>, beginsText: Bool, _ parsesSpecial: Bool, _ scratch: inout EncodeScratch,
    into ids: inout [Int32]
  ) throws(TokenizerError) {
    if let normalizer = parts.normalizer, let normalized = try normalizer.normalize(text) {
      try encodeNormalized(normalized.span, beginsText, parsesSpecial, &scratch, into: &ids)
    } else {
      try encodeNormalized(text, beginsText, parsesSpecial, &scratch, into: &ids)
    }
  }

  private func encodeNormalized(
    _ text: Span<UInt8>, _ beginsText: Bool, _ parsesSpecial: Bool, _ scratch: inout EncodeScratch,
    into ids: inout [Int32]
  ) throws(TokenizerError) {
    if !parts.added.findsInNormalizedText {
      return try encodePlain(text, beginsText, &scratch, into: &ids)
    }
    for segment in parts.added.segmentsOfNormalizedText(text, parsesSpecial: parsesSpecial) {
      if let id = segment.id {
        ids.append(id)
      } else {
        let isFirst = beginsText && segment.range.lowerBound == 0
        try encodePlain(text.extracting(segment.range), isFirst, &scratch, into: &ids)
      }
    }
  }

  /// Text without added tokens.
  private func encodePlain(
    _ text: Span<UInt8>, _ beginsText: Bool, _ scratch: inout EncodeScratch, into ids: inout [Int32]
  ) throws(TokenizerError) {
    if let scanner, case .bytePair(let model) = parts.model {
      var start = 0
      while start < text.count {
        let end = scanner.end(in: text, from: start)
        model.encode(text.extracting(start..<end), &scratch, into: &ids)
        start = end
      }
      return
    }
    var pieces = Pieces(count: text.count, beginsText: beginsText)
    for stage in parts.preTokenizers {
      if let rewritten = pieces.rewritten {
        try stage.apply(to: &pieces, of: rewritten.span)
      } else {
        try stage.apply(to: &pieces, of: text)
      }
    }
    if let rewritten = pieces.rewritten {
      try encode(pieces.ranges, of: rewritten.span, &scratch, into: &ids)
    } else {
      try encode(pieces.ranges, of: text, &scratch, into: &ids)
    }
  }

  private func encode(
    _ pieces: [Range<Int>], of text: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]
  ) throws(TokenizerError) {
    for piece in pieces { try parts.model.encode(text.extracting(piece), &scratch, into: &ids) }
  }
}

extension PreTokenizer {
  /// The scanner that cuts as these stages together do, if there is one: it lets a text be encoded without a
  /// list of its pieces.
  static func scanner(for stages: [PreTokenizer]) -> PieceScanner? {
    guard let last = stages.last, case .byteLevel(false, let splits, mapsBytes: false) = last else {
      return nil
    }
    if stages.count == 1, splits { return PieceScanner(.gpt2) }
    if stages.count == 2, !splits, case .split(.scanner(let scanner), .isolated, inverted: false) = stages[0]
    {
      return scanner
    }
    return nil
  }
}

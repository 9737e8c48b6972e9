internal import JSON

/// The stages of a tokenizer, checked against each other.
struct TokenizerParts: Sendable {
  var added: AddedVocabulary
  var normalizer: Normalizer?
  var preTokenizers: [PreTokenizer]
  var model: TokenModel
  var postProcessor: PostProcessor
  var decoder: TokenDecoder

  init(
    added: AddedVocabulary, normalizer: Normalizer?, preTokenizers: [PreTokenizer], model: TokenModel,
    postProcessor: PostProcessor?, decoder: [DecoderStage]
  ) {
    self.added = added
    self.normalizer = normalizer
    self.preTokenizers = preTokenizers
    self.model = model
    self.postProcessor = postProcessor ?? .plain
    self.decoder = TokenDecoder(decoder)
    // A vocabulary of bytes takes the pieces as they are.
    if model.holdsBytes, case .byteLevel(let addsPrefixSpace, let splits, _)? = preTokenizers.last {
      self.preTokenizers[preTokenizers.count - 1] = .byteLevel(
        addsPrefixSpace: addsPrefixSpace, splits: splits, mapsBytes: false)
    }
  }

  init(_ file: TokenizerFile) throws(TokenizerError) {
    let root = try Fields(.object(file.stages), at: "")
    let normalizer =
      root.optional("normalizer") == nil ? nil : try Normalizer(try root.object("normalizer"))
    let preTokenizers =
      root.optional("pre_tokenizer") == nil ? [] : try PreTokenizer.stages(try root.object("pre_tokenizer"))
    var followsByteLevel = false
    if case .byteLevel? = preTokenizers.last { followsByteLevel = true }
    var unspelled: [AddedToken] = []
    let model = try TokenModel(file, followsByteLevel: followsByteLevel, unspelled: &unspelled)
    let decoder =
      root.optional("decoder") == nil ? [.spaced] : try DecoderStage.stages(try root.object("decoder"))
    try Self.check(decoder)
    let postProcessor =
      root.optional("post_processor") == nil
      ? nil : try PostProcessor.parse(try root.object("post_processor"))
    let tokens = try Self.addedTokens(root, model)
    self.init(
      added: try AddedVocabulary(tokens, unspelled: unspelled, normalizer: normalizer),
      normalizer: normalizer, preTokenizers: preTokenizers, model: model, postProcessor: postProcessor,
      decoder: decoder)
  }

  private static func check(_ decoder: [DecoderStage]) throws(TokenizerError) {
    var sawFallback = false
    for stage in decoder {
      switch stage {
      case .byteFallback:
        if sawFallback { throw .unsupported(field: "decoder", reason: "ByteFallback is there twice") }
        sawFallback = true
      case .wordSuffix where sawFallback:
        throw .unsupported(field: "decoder", reason: "BPEDecoder behind ByteFallback is not supported")
      default: break
      }
    }
  }

  private static func addedTokens(_ root: Fields, _ model: TokenModel) throws(TokenizerError) -> [AddedToken]
  {
    if root.optional("added_tokens") == nil { return [] }
    var tokens: [AddedToken] = []
    var contents: [Int32: [UInt8]] = [:]
    var ids: [[UInt8]: Int32] = [:]
    for fields in try root.objects("added_tokens") {
      let token = AddedToken(
        id: try fields.id("id"), content: try fields.bytes("content"),
        isSingleWord: try fields.bool("single_word", default: false),
        stripsLeft: try fields.bool("lstrip", default: false),
        stripsRight: try fields.bool("rstrip", default: false),
        isNormalized: try fields.bool("normalized", default: true),
        isSpecial: try fields.bool("special", default: false))
      if let other = contents.updateValue(token.content, forKey: token.id), other != token.content {
        throw .conflict(field: fields.path("id"), reason: "id \(token.id) is used for two tokens")
      }
      if let other = ids.updateValue(token.id, forKey: token.content) {
        if other != token.id {
          throw .conflict(field: fields.path("content"), reason: "the token has ids \(other) and \(token.id)")
        }
        continue
      }
      try check(token, against: model, fields)
      tokens.append(token)
    }
    return tokens
  }

  /// A token that the vocabulary has too must have its id there.
  private static func check(
    _ token: AddedToken, against model: TokenModel, _ fields: Fields
  ) throws(TokenizerError) {
    var spelling = token.content
    if model.holdsBytes {
      spelling = []
      if !ByteAlphabet.appendBytes(of: token.content.span, to: &spelling) { return }
    }
    let known = model.vocabulary.id(of: spelling.span)
    if known >= 0, known != token.id {
      throw .conflict(field: fields.path("id"), reason: "\(token.id), but the vocabulary says \(known)")
    }
    if known < 0, model.vocabulary.contains(token.id) {
      throw .conflict(field: fields.path("id"), reason: "\(token.id) is another token in the vocabulary")
    }
  }
}

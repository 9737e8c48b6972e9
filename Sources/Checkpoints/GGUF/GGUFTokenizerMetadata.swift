internal import JSON

/// The `tokenizer.ggml.*` keys of a GGUF file from `tokenizer.json` and `tokenizer_config.json`.
enum GGUFTokenizerMetadata {
  private enum TokenType {
    static let normal: Int32 = 1
    static let control: Int32 = 3
    static let userDefined: Int32 = 4
    static let unused: Int32 = 5
    static let byte: Int32 = 6
  }

  /// The split patterns that GGUF has names for.
  private static let patterns: [(name: String, text: String)] = [
    (
      "llama-bpe",
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
    (
      "qwen2",
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
    ("bloom", #" ?[^(\s|[.,!?…。，、।۔،])]+"#),
  ]

  /// - Parameter vocabularySize: rows of the embedding; ids without a token get an unused one.
  static func items(
    tokenizer: JSONValue, configuration: JSONValue, model: JSONValue, vocabularySize: Int
  ) throws(QuantizationError) -> [GGUFMetadata.Item] {
    let fields = QuantizationFields(tokenizer["model"] ?? .null, path: "tokenizer.json: model.")
    guard fields.json["type"]?.string == "BPE" else {
      throw fields.unsupported("type", fields.json["type"]?.serialized() ?? "missing", ["\"BPE\""])
    }
    var tokens = [String?](repeating: nil, count: vocabularySize)
    var types = [Int32](repeating: TokenType.unused, count: vocabularySize)
    for (text, id) in fields.json["vocab"]?.object ?? [:] {
      guard let id = id.int, tokens.indices.contains(id) else { continue }
      tokens[id] = text
      types[id] = TokenType.normal
    }
    for added in tokenizer["added_tokens"]?.array ?? [] {
      guard let id = added["id"]?.int, tokens.indices.contains(id) else { continue }
      tokens[id] = added["content"]?.string
      types[id] = added["special"]?.bool == true ? TokenType.control : TokenType.userDefined
    }
    let isSentencePiece = fields.json["byte_fallback"]?.bool == true
    var items: [GGUFMetadata.Item] = []
    func add(_ key: String, _ value: GGUFValue) {
      items.append(.init(key: "tokenizer.ggml." + key, value: value))
    }
    add("model", .string([UInt8]((isSentencePiece ? "llama" : "gpt2").utf8)))
    if !isSentencePiece { add("pre", .string([UInt8](try preTokenizer(tokenizer).utf8))) }
    let named = tokens.enumerated().map { $1 ?? "[PAD\($0)]" }
    add("tokens", .array(.strings(GGUFStrings(named))))
    let merges = try merges(fields)
    if isSentencePiece {
      for id in tokens.indices where isByte(named[id]) { types[id] = TokenType.byte }
      add("scores", .array(.float32(scores(merges, named))))
    } else {
      add("merges", .array(.strings(GGUFStrings(merges.map { $0.left + " " + $0.right }))))
    }
    add("token_type", .array(.int32(types)))
    addSpecial(tokenizer, configuration, model, named, isSentencePiece, add)
    if let template = configuration["chat_template"]?.string {
      items.append(.init(key: "tokenizer.chat_template", value: .string([UInt8](template.utf8))))
    }
    return items
  }

  private static func addSpecial(
    _ tokenizer: JSONValue, _ configuration: JSONValue, _ model: JSONValue, _ tokens: [String],
    _ isSentencePiece: Bool, _ add: (String, GGUFValue) -> Void
  ) {
    for (key, name) in [
      ("bos", "bos_token_id"), ("eos", "eos_token_id"), ("unk", "unknown_token_id"),
      ("pad", "padding_token_id"),
    ] {
      let value = configuration[key + "_token"]
      let text = value?.string ?? value?["content"]?.string
      let id = text.flatMap { text in tokens.firstIndex(of: text) } ?? model[key + "_token_id"]?.int
      if let id, tokens.indices.contains(id) { add(name, .uint32(UInt32(id))) }
    }
    // What the template of single texts puts before the text.
    var processors = [tokenizer["post_processor"] ?? .null]
    processors += processors[0]["processors"]?.array ?? []
    let singles = processors.compactMap { $0["single"]?.array }
    let beginsWithSpecial = singles.contains { $0.first?["SpecialToken"] != nil }
    add("add_bos_token", .bool(beginsWithSpecial))
    add("add_eos_token", .bool(singles.contains { $0.count > 1 && $0.last?["SpecialToken"] != nil }))
    if isSentencePiece {
      let normalizers = tokenizer["normalizer"]?["normalizers"]?.array ?? []
      let prepends =
        normalizers.contains { $0["type"]?.string == "Prepend" }
        || tokenizer["pre_tokenizer"]?["prepend_scheme"].map { $0.string != "never" } == true
      add("add_space_prefix", .bool(prepends))
    }
  }

  private static func preTokenizer(_ tokenizer: JSONValue) throws(QuantizationError) -> String {
    let fields = QuantizationFields(tokenizer, path: "tokenizer.json: ")
    let pre = tokenizer["pre_tokenizer"] ?? .null
    let stages = pre["pretokenizers"]?.array ?? [pre]
    let splits = stages.compactMap { $0["pattern"]?["Regex"]?.string }
    let usesByteLevel = stages.contains {
      $0["type"]?.string == "ByteLevel" && $0["use_regex"]?.bool != false
    }
    if splits.isEmpty, usesByteLevel { return "gpt-2" }
    if splits.count == 1, let known = patterns.first(where: { $0.text == splits[0] }) { return known.name }
    throw fields.unsupported(
      "pre_tokenizer", splits.isEmpty ? pre.serialized() : "\"\(splits.joined(separator: "\", \""))\"",
      ["the splits of GPT-2, Llama 3, Qwen 2 and BLOOM"])
  }

  private static func merges(
    _ fields: QuantizationFields
  ) throws(QuantizationError) -> [(left: String, right: String)] {
    var merges: [(left: String, right: String)] = []
    for merge in fields.json["merges"]?.array ?? [] {
      let parts =
        merge.array?.compactMap(\.string)
        ?? merge.string?.split(separator: " ", maxSplits: 1).map(String.init) ?? []
      guard parts.count == 2 else { throw fields.bad("merges", "an array of pairs") }
      merges.append((parts[0], parts[1]))
    }
    return merges
  }

  /// SentencePiece merges what scores best first: the rank of the merge that makes a token, negated.
  private static func scores(_ merges: [(left: String, right: String)], _ tokens: [String]) -> [Float] {
    var ranks: [String: Int] = [:]
    for (rank, merge) in merges.enumerated() where ranks[merge.left + merge.right] == nil {
      ranks[merge.left + merge.right] = rank
    }
    return tokens.map { token in ranks[token].map { -Float($0) } ?? -Float(merges.count) }
  }

  private static func isByte(_ token: String) -> Bool {
    token.utf8.count == 6 && token.hasPrefix("<0x") && token.hasSuffix(">")
  }
}

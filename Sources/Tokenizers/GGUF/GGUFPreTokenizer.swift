/// How a "gpt2" vocabulary cuts text, by the name that GGUF files give it (`tokenizer.ggml.pre`).
struct GGUFPreTokenizer: Sendable {
  let normalizer: Normalizer?
  let stages: [PreTokenizer]
  let ignoresMerges: Bool

  private enum Kind: Sendable {
    case unnamed, gpt2, llama3, qwen2, digitsFirst, bloom
  }

  private static let kinds: [(name: String, kind: Kind)] = [
    ("default", .unnamed),
    ("gpt-2", .gpt2), ("phi-2", .gpt2), ("mpt", .gpt2), ("olmo", .gpt2),
    ("llama-bpe", .llama3), ("llama3", .llama3), ("llama-v3", .llama3), ("smaug-bpe", .llama3),
    ("falcon3", .llama3),
    ("qwen2", .qwen2), ("deepseek-r1-qwen", .qwen2),
    ("starcoder", .digitsFirst), ("refact", .digitsFirst), ("command-r", .digitsFirst),
    ("smollm", .digitsFirst), ("codeshell", .digitsFirst),
    ("bloom", .bloom), ("poro-chat", .bloom), ("gpt3-finnish", .bloom),
  ]

  init(named name: String) throws(TokenizerError) {
    guard let kind = Self.kinds.first(where: { $0.name == name })?.kind else {
      throw .unknownValue(field: "tokenizer.ggml.pre", value: name, known: Self.kinds.map(\.name))
    }
    var normalizer: Normalizer?
    var stages: [PreTokenizer] = []
    switch kind {
    case .gpt2: break
    case .llama3: stages = [.split(.scanner(PieceScanner(.words(digits: 3))), .isolated, inverted: false)]
    case .qwen2:
      normalizer = .form(.nfc)
      stages = [.split(.scanner(PieceScanner(.words(digits: 1))), .isolated, inverted: false)]
    case .digitsFirst: stages = [.digits(individual: true)]
    case .bloom:
      stages = [try Self.split(#" ?[^(\s|.,!?…。，、।۔،)]+"#)]
    case .unnamed:
      stages = [
        try Self.split(#"[\p{P}\$\+<=>\^~\|]+"#),
        try Self.split(#"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"#),
        try Self.split(#"\p{N}+"#), try Self.split("[0-9][0-9][0-9]"),
      ]
    }
    let splits = kind == .gpt2 || kind == .digitsFirst
    stages.append(.byteLevel(addsPrefixSpace: false, splits: splits, mapsBytes: true))
    self.normalizer = normalizer
    self.stages = stages
    ignoresMerges = kind == .llama3
  }

  private static func split(_ expression: String) throws(TokenizerError) -> PreTokenizer {
    .split(try .expression(expression), .isolated, inverted: false)
  }
}

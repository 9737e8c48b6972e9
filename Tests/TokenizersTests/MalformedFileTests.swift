import JSON
import TestSupport
import Testing

@testable import Tokenizers

/// Files that are not what they should be are refused with the place and the reason.
@Suite("Malformed tokenizers")
struct MalformedFileTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let json: String
    let message: String

    init(_ name: String, _ json: String, _ message: String) {
      testDescription = name
      self.json = json
      self.message = message
    }
  }

  /// A tokenizer.json with this model and these stages.
  private static func file(
    _ model: String = #"{"type":"WordLevel","vocab":{"<unk>":0,"a":1},"unk_token":"<unk>"}"#,
    _ stages: String = ""
  ) -> String { #"{"model":\#(model)\#(stages.isEmpty ? "" : "," + stages)}"# }

  private static func bpe(_ vocab: String, _ merges: String = "[]", _ more: String = "") -> String {
    file(#"{"type":"BPE","vocab":\#(vocab),"merges":\#(merges)\#(more)}"#)
  }

  static let cases: [Case] = [
    Case("no JSON", "{", "invalid JSON at byte 1"),
    Case("no object", "[]", "found array, expected object"),
    Case("empty", "", "the text ends too early"),
    Case("no model", "{}", "model.vocab is missing"),
    Case("model of a wrong type", #"{"model":3}"#, "model.vocab is missing"),
    Case(
      "unknown model", file(#"{"type":"Neural","vocab":{"a":0}}"#), #"model.type: "Neural" is not supported"#),
    Case(
      "known models are listed", file(#"{"type":"Neural","vocab":{"a":0}}"#),
      "BPE, Unigram, WordPiece, WordLevel"),
    Case("empty vocabulary", bpe("{}"), "model.vocab is missing"),
    Case("id of a wrong type", bpe(#"{"a":"0"}"#), "found string, expected number"),
    Case("fractional id", bpe(#"{"a":0.5}"#), "number out of range"),
    Case("negative id", bpe(#"{"a":-1}"#), #"model.vocab["a"]: -1 is out of range"#),
    Case("huge id", bpe(#"{"a":1000000000}"#), #"model.vocab["a"]: 1000000000 is out of range"#),
    Case("id beyond integers", bpe(#"{"a":1e300}"#), "number out of range"),
    Case("id used twice", bpe(#"{"a":0,"b":0}"#), #"model.vocab["b"]: id 0 is used twice"#),
    Case("token there twice", bpe(#"{"a":0,"a":1}"#), #"model.vocab["a"]: the token is there twice"#),
    Case(
      "merge of an unknown token", bpe(#"{"a":0}"#, #"["a b"]"#),
      #"model.merges[0]: "b" is not in the vocabulary"#),
    Case(
      "merge into an unknown token", bpe(#"{"a":0,"b":1}"#, #"["a b"]"#), #"model.merges[0]: "ab" is not"#),
    Case("merge of one token", bpe(#"{"a":0}"#, #"["a"]"#), "model.merges[0] must be two tokens"),
    Case("merge of three tokens", bpe(#"{"a":0}"#, #"["a a a"]"#), "model.merges[0] must be two tokens"),
    Case("merge with three halves", bpe(#"{"a":0}"#, #"[["a","a","a"]]"#), "expected the end of a merge"),
    Case("merge with one half", bpe(#"{"a":0}"#, #"[["a"]]"#), "expected the right half"),
    Case("merge of a wrong type", bpe(#"{"a":0}"#, "[7]"), "found number, expected string"),
    Case(
      "dropout", bpe(#"{"a":0}"#, "[]", #","dropout":0.1"#), "model.dropout: random merges are for training"),
    Case(
      "unknown token unknown", bpe(#"{"a":0}"#, "[]", #","unk_token":"?""#),
      #"model.unk_token: "?" is not in"#),
    Case(
      "scores for BPE", file(#"{"type":"BPE","vocab":[["a",0]],"merges":[]}"#),
      "model.vocab must be an object"),
    Case("no scores for Unigram", file(#"{"type":"Unigram","vocab":{"a":0}}"#), "model.vocab must be a list"),
    Case("Unigram piece without score", file(#"{"type":"Unigram","vocab":[["a"]]}"#), "expected a score"),
    Case(
      "Unigram's unknown id", file(#"{"type":"Unigram","vocab":[["a",0]],"unk_id":1}"#),
      "model.unk_id: 1 is out of range"),
    Case(
      "WordPiece's unknown token", file(#"{"type":"WordPiece","vocab":{"a":0}}"#),
      #"model.unk_token: "[UNK]" is not"#),
    Case(
      "unknown normalizer", file(stage("normalizer", #"{"type":"Magic"}"#)),
      #"normalizer.type: "Magic" is not supported"#),
    Case("normalizer without type", file(stage("normalizer", "{}")), "normalizer.type is missing"),
    Case("normalizer of a wrong type", file(stage("normalizer", "[]")), "normalizer must be an object"),
    Case(
      "huge replacement",
      file(
        stage(
          "normalizer", #"{"type":"Prepend","prepend":"\#(String(repeating: "a", count: 300))"}"#)),
      "normalizer.prepend: 300 bytes is out of range"),
    Case(
      "charsmap", file(stage("normalizer", #"{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#)),
      "is not a SentencePiece character map"),
    Case(
      "charsmap without base 64",
      file(stage("normalizer", #"{"type":"Precompiled","precompiled_charsmap":"!"}"#)),
      "is not a SentencePiece character map"),
    Case(
      "nested stage",
      file(stage("pre_tokenizer", #"{"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"X"}]}"#)),
      "pre_tokenizer.pretokenizers[1].type"),
    Case(
      "behavior",
      file(stage("pre_tokenizer", #"{"type":"Split","pattern":{"String":"a"},"behavior":"Eaten"}"#)),
      "known are Removed, Isolated"),
    Case(
      "pattern",
      file(stage("pre_tokenizer", #"{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"}"#)),
      #"the regular expression "(a" can't be used"#),
    Case(
      "pattern of a wrong type",
      file(stage("pre_tokenizer", #"{"type":"Split","pattern":3,"behavior":"Isolated"}"#)),
      "pre_tokenizer.pattern must be an object"),
    Case(
      "metaspace of two characters",
      file(stage("pre_tokenizer", #"{"type":"Metaspace","replacement":"ab"}"#)), "a string of one character"),
    Case(
      "metaspace contradiction",
      file(
        stage(
          "pre_tokenizer",
          #"{"type":"Metaspace","replacement":"_","add_prefix_space":false,"prepend_scheme":"first"}"#)),
      "contradicts prepend_scheme"),
    Case("nesting", file(stage("decoder", nested(40))), "nested deeper than 16 levels"),
    Case(
      "unknown decoder", file(stage("decoder", #"{"type":"CTC"}"#)), #"decoder.type: "CTC" is not supported"#),
    Case("unknown processor", file(stage("post_processor", #"{"type":"X"}"#)), "post_processor.type"),
    Case(
      "two processors",
      file(stage("post_processor", #"{"type":"Sequence","processors":[\#(bert),\#(bert)]}"#)),
      "only one processor may add tokens"),
    Case(
      "processor's id",
      file(stage("post_processor", #"{"type":"BertProcessing","sep":["a",-4],"cls":["a",1]}"#)),
      "post_processor.sep[1]: -4 is out of range"),
    Case(
      "template without text",
      file(stage("post_processor", #"{"type":"TemplateProcessing","single":[],"pair":[]}"#)),
      "post_processor.single: the text (sequence A) is missing"),
    Case(
      "template's token",
      file(
        stage(
          "post_processor",
          #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"pair":[],"special_tokens":{}}"#
        )), "post_processor.special_tokens.x is missing"),
    Case(
      "added token without id", file(stage("added_tokens", #"[{"content":"x"}]"#)),
      "added_tokens[0].id is missing"),
    Case(
      "added token's huge id", file(stage("added_tokens", #"[{"content":"x","id":4000000000}]"#)),
      "added_tokens[0].id: 4000000000 is out of range"),
    Case(
      "added token's flag", file(stage("added_tokens", #"[{"content":"x","id":5,"lstrip":"no"}]"#)),
      "added_tokens[0].lstrip must be true or false"),
    Case(
      "added token contradicts", file(stage("added_tokens", #"[{"content":"a","id":5}]"#)),
      "5, but the vocabulary says 1"),
    Case(
      "added token's place is taken", file(stage("added_tokens", #"[{"content":"x","id":1}]"#)),
      "1 is another token in the vocabulary"),
    Case(
      "two added tokens of one id",
      file(stage("added_tokens", #"[{"content":"x","id":5},{"content":"y","id":5}]"#)),
      "id 5 is used for two tokens"),
    Case(
      "one added token of two ids",
      file(stage("added_tokens", #"[{"content":"x","id":5},{"content":"x","id":6}]"#)),
      "the token has ids 5 and 6"),
  ]

  private static let bert = #"{"type":"BertProcessing","sep":["a",1],"cls":["a",1]}"#

  private static func stage(_ key: String, _ value: String) -> (String) { "\u{0}" + #""\#(key)":\#(value)"# }

  private static func file(_ marked: String) -> String {
    marked.hasPrefix("\u{0}")
      ? file(
        #"{"type":"WordLevel","vocab":{"<unk>":0,"a":1},"unk_token":"<unk>"}"#, String(marked.dropFirst()))
      : file(marked, "")
  }

  private static func nested(_ depth: Int) -> String {
    String(repeating: #"{"type":"Sequence","decoders":["#, count: depth) + #"{"type":"Fuse"}"#
      + String(repeating: "]}", count: depth)
  }

  @Test("is refused with place and reason", arguments: cases)
  func isRefused(_ bad: Case) throws {
    let error = #expect(throws: TokenizerError.self) {
      try Tokenizer(json: Array(bad.json.utf8), configuration: nil)
    }
    let message = error?.description ?? ""
    #expect(message.contains(bad.message), "\(message)")
  }

  @Test("a file cut anywhere is refused")
  func truncatedFile() throws {
    let bytes = try Fixtures.bytes("tiny/llama/tokenizer.json")
    for end in stride(from: 0, to: bytes.count - 1, by: 397) {
      #expect(throws: TokenizerError.self) { try Tokenizer(json: Array(bytes[..<end]), configuration: nil) }
    }
  }

  @Test("a file with any byte changed gives a tokenizer or an error, and that tokenizer works")
  func changedFile() throws {
    let bytes = try Fixtures.bytes("tiny/bert-sst2/tokenizer.json")
    var generator = SeededGenerator(seed: 11)
    for _ in 0..<60 {
      var changed = bytes
      changed[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
        in: 0x20...0x7E, using: &generator)
      guard let tokenizer = try? Tokenizer(json: changed, configuration: nil) else { continue }
      let ids = try tokenizer.encode("The old man caught him by the wrist, didn't he?")
      #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize })
      _ = tokenizer.decode(ids)
    }
  }

  @Test("missing files and bad configurations are named")
  func filesAreNamed() {
    let missing = Fixtures.path("no-such-folder")
    #expect(throws: TokenizerError.fileNotFound(path: missing + "/tokenizer.json")) {
      try Tokenizer.load(directory: missing)
    }
  }

  @Test("GGUF vocabularies whose lists don't fit are refused")
  func badGGUF() {
    func message(_ vocabulary: GGUFVocabulary) -> String {
      do throws(TokenizerError) {
        _ = try Tokenizer(gguf: vocabulary)
        return ""
      } catch {
        return error.description
      }
    }
    let tokens = ["<unk>", "a", "b", "ab"].map { Array($0.utf8) }
    #expect(
      message(GGUFVocabulary(model: "rwkv", tokens: tokens)).contains(
        #""rwkv" is not supported; known are gpt2"#))
    #expect(message(GGUFVocabulary(model: "gpt2", tokens: [])) == "tokenizer.ggml.tokens is missing")
    #expect(
      message(GGUFVocabulary(model: "gpt2", pre: "viking", tokens: tokens)).contains("tokenizer.ggml.pre"))
    #expect(
      message(GGUFVocabulary(model: "gpt2", tokens: tokens, merges: ["a c"])).contains(
        "tokenizer.ggml.merges[0]"))
    #expect(message(GGUFVocabulary(model: "gpt2", tokens: tokens + [tokens[1]])).contains("there twice"))
    #expect(
      message(GGUFVocabulary(model: "gpt2", tokens: tokens, tokenTypes: [1])).contains(
        "1 entries for 4 tokens"))
    #expect(
      message(GGUFVocabulary(model: "gpt2", tokens: tokens, bosID: 4)).contains(
        "bos_token_id: 4 is out of range"))
    #expect(message(GGUFVocabulary(model: "llama", tokens: tokens)) == "tokenizer.ggml.scores is missing")
    #expect(
      message(GGUFVocabulary(model: "llama", tokens: tokens, scores: [0, .nan, 0, 0])).contains("scores[1]"))
    #expect(
      message(GGUFVocabulary(model: "bert", tokens: tokens)) == "tokenizer.ggml.unknown_token_id is missing")
  }
}

/// A vocabulary as a GGUF file carries it in its `tokenizer.ggml.*` metadata.
///
/// Plain data: whoever reads the file fills it, `Tokenizer.init(gguf:)` checks it.
package struct GGUFVocabulary: Sendable, Equatable {
  /// `tokenizer.ggml.model`: "gpt2" (byte-level BPE), "llama" (SentencePiece with scores) or "bert" (WordPiece).
  package var model: String
  /// `tokenizer.ggml.pre`: the name of the pre-tokenizer of a "gpt2" vocabulary.
  package var pre: String
  /// `tokenizer.ggml.tokens`, by id.
  package var tokens: [[UInt8]]
  /// `tokenizer.ggml.scores`; empty, or one for each token.
  package var scores: [Float]
  /// `tokenizer.ggml.token_type`; empty, or one for each token: 1 normal, 2 unknown, 3 control, 4 user defined,
  /// 5 unused, 6 byte.
  package var tokenTypes: [Int32]
  /// `tokenizer.ggml.merges`, most urgent first, each "left right".
  package var merges: [String]
  package var bosID: Int32?
  package var eosID: Int32?
  package var unknownID: Int32?
  package var padID: Int32?
  /// `tokenizer.ggml.cls_token_id` and `seperator_token_id`; BERT files without them use the BOS and EOS ids.
  package var classifierID: Int32?
  package var separatorID: Int32?
  /// nil: what is usual for the model.
  package var addBOS: Bool?
  package var addEOS: Bool?
  package var addSpacePrefix: Bool?
  /// `tokenizer.chat_template`.
  package var chatTemplate: String?

  package init(
    model: String, pre: String = "default", tokens: [[UInt8]], scores: [Float] = [],
    tokenTypes: [Int32] = [], merges: [String] = [], bosID: Int32? = nil, eosID: Int32? = nil,
    unknownID: Int32? = nil, padID: Int32? = nil, classifierID: Int32? = nil, separatorID: Int32? = nil,
    addBOS: Bool? = nil, addEOS: Bool? = nil, addSpacePrefix: Bool? = nil, chatTemplate: String? = nil
  ) {
    self.model = model
    self.pre = pre
    self.tokens = tokens
    self.scores = scores
    self.tokenTypes = tokenTypes
    self.merges = merges
    self.bosID = bosID
    self.eosID = eosID
    self.unknownID = unknownID
    self.padID = padID
    self.classifierID = classifierID
    self.separatorID = separatorID
    self.addBOS = addBOS
    self.addEOS = addEOS
    self.addSpacePrefix = addSpacePrefix
    self.chatTemplate = chatTemplate
  }
}

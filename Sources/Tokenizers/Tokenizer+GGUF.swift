extension Tokenizer {
  package convenience init(gguf: GGUFVocabulary) throws(TokenizerError) {
    throw .missing(field: "tokenizer.ggml.tokens")
  }
}

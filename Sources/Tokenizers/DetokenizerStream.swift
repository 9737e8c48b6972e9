/// Turns tokens into text as they come.
///
/// All pieces of text put together equal `Tokenizer.decode` of all ids; none ends inside a character.
package struct DetokenizerStream: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private var state = DecoderState()

  package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// The text that is certain now; empty while a character is incomplete.
  /// - Complexity: O(bytes of the token), amortised.
  package mutating func append(_ id: Int32) -> String {
    guard tokenizer.decoding.isText(id, skipSpecialTokens) else { return "" }
    var text: [UInt8] = []
    state.append(id, tokenizer.decoding, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// What was held back. The stream is empty again afterwards.
  package mutating func finish() -> String {
    var text: [UInt8] = []
    state.finish(tokenizer.decoding, to: &text)
    return String(decoding: text, as: UTF8.self)
  }
}

/// Turns tokens into text as they come.
///
/// All pieces of text put together equal `Tokenizer.decode` of all ids; none ends inside a character.
package struct DetokenizerStream: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool

  package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// The text that is certain now; empty while a character is incomplete.
  /// - Complexity: O(bytes of the token), amortised.
  package mutating func append(_ id: Int32) -> String { "" }

  /// What was held back. The stream is empty again afterwards.
  package mutating func finish() -> String { "" }
}

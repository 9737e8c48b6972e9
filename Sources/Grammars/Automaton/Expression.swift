/// What regular expressions and grammars are made of, over bytes.
indirect enum Expression: Sendable {
  case empty
  case literal([UInt8])
  /// One scalar of the set, as UTF-8.
  case set(CodePointSet)
  case sequence([Expression])
  case choice([Expression])
  /// At least `minimum` times, at most `maximum` times where there is one.
  case repeated(Expression, minimum: Int, maximum: Int?)
  /// A rule of the grammar, by number.
  case rule(Int)

  static func text(_ text: String) -> Expression { .literal(Array(text.utf8)) }
}

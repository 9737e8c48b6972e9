/// Why a grammar is refused. `path` says where in what was sent: `#/properties/age/minimum`.
package enum GrammarError: Error, Sendable, Equatable {
  /// The text is no regular expression, or one with something that is not supported. The offset is in bytes.
  case regex(path: String, offset: Int, reason: String)
  /// The text is no grammar. Line and column count from 1.
  case grammar(line: Int, column: Int, reason: String)
  /// A keyword of a schema has a value that it can't have.
  case schema(path: String, reason: String)
  /// A keyword of a schema that can't be kept while generating.
  case unsupported(path: String, reason: String)
  /// Nothing satisfies it.
  case unsatisfiable(path: String, reason: String)
  /// Its automaton would be larger than is allowed.
  case tooLarge(path: String, reason: String)
}

extension GrammarError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .regex(let path, let offset, let reason): "\(path): regular expression, byte \(offset): \(reason)"
    case .grammar(let line, let column, let reason): "grammar, line \(line), column \(column): \(reason)"
    case .schema(let path, let reason): "\(path): \(reason)"
    case .unsupported(let path, let reason): "\(path): \(reason)"
    case .unsatisfiable(let path, let reason): "\(path): nothing can satisfy this: \(reason)"
    case .tooLarge(let path, let reason): "\(path): too large: \(reason)"
    }
  }
}

/// Bounds on what compiling a grammar may cost, whatever was sent.
package struct GrammarLimits: Sendable {
  /// States of the whole automaton.
  package var states = 200_000
  /// States of the deterministic automaton of one regular expression.
  package var regexStates = 20_000
  /// Bytes of a regular expression, a grammar, or the text of all choices.
  package var textBytes = 1 << 20
  /// Brackets inside brackets, schemas inside schemas.
  package var depth = 128
  /// Ways in which `anyOf`, `allOf` and `oneOf` combine in one place.
  package var alternatives = 256

  package init() {}
}

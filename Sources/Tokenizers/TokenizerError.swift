package import JSON

/// Why a tokenizer can't be built, or a text can't be encoded with it.
package enum TokenizerError: Error, Equatable, Sendable {
  /// One of the errors below, met in this file.
  indirect case inFile(String, TokenizerError)
  case fileNotFound(path: String)
  case unreadable(path: String, code: Int32)
  case invalidJSON(JSONError)

  // Fields are named by their path: `pre_tokenizer.pretokenizers[0].pattern`.
  case missing(field: String)
  case wrongType(field: String, expected: String)
  case unknownValue(field: String, value: String, known: [String])
  case outOfRange(field: String, value: String, allowed: String)
  /// Two parts of the file contradict each other.
  case conflict(field: String, reason: String)
  /// A token named here is not in the vocabulary.
  case unknownToken(field: String, token: String)
  case unsupported(field: String, reason: String)

  case invalidPattern(pattern: String, reason: String, offset: Int)
  /// Matching was stopped: the pattern backtracks without bound on this text.
  case patternTooCostly(pattern: String, offset: Int)
  case textTooLong(bytes: Int, limit: Int)
  /// The model has no piece for a part of the text and names no unknown token.
  case noToken(text: String)
}

extension TokenizerError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .inFile(let path, let error): "\(path): \(error)"
    case .fileNotFound(let path): "\(path): no such file"
    case .unreadable(let path, let code): "\(path): can't be read (error \(code))"
    case .invalidJSON(let error): "\(error)"
    case .missing(let field): "\(field) is missing"
    case .wrongType(let field, let expected): "\(field) must be \(expected)"
    case .unknownValue(let field, let value, let known):
      "\(field): \"\(value)\" is not supported; known are \(known.joined(separator: ", "))"
    case .outOfRange(let field, let value, let allowed): "\(field): \(value) is out of range (\(allowed))"
    case .conflict(let field, let reason): "\(field): \(reason)"
    case .unknownToken(let field, let token): "\(field): \"\(token)\" is not in the vocabulary"
    case .unsupported(let field, let reason): "\(field): \(reason)"
    case .invalidPattern(let pattern, let reason, let offset):
      "the regular expression \"\(pattern)\" can't be used: \(reason) at byte \(offset)"
    case .patternTooCostly(let pattern, let offset):
      "the regular expression \"\(pattern)\" needs too many steps at byte \(offset) of the text"
    case .textTooLong(let bytes, let limit): "the text has \(bytes) bytes; at most \(limit) can be encoded"
    case .noToken(let text): "no token covers \"\(text)\", and the vocabulary names no unknown token"
    }
  }
}

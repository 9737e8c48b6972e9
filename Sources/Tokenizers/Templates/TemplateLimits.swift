/// What rendering may cost. A template is somebody else's program, and messages are somebody else's text.
package struct TemplateLimits: Sendable, Equatable {
  /// Expressions and statements evaluated, and elements that operations on collections walk through.
  package var maxSteps: Int
  /// All text that any operation produces, in bytes: bounds time and memory.
  package var maxProducedBytes: Int
  package var maxOutputBytes: Int
  /// Macros, loops and expressions inside each other, while rendering; bounds the stack.
  package var maxDepth: Int

  package init(
    maxSteps: Int = 5_000_000, maxProducedBytes: Int = 256 << 20, maxOutputBytes: Int = 64 << 20,
    maxDepth: Int = 500
  ) {
    self.maxSteps = maxSteps
    self.maxProducedBytes = maxProducedBytes
    self.maxOutputBytes = maxOutputBytes
    self.maxDepth = maxDepth
  }

  package static let `default` = TemplateLimits()

  /// Limits that do not depend on the caller.
  static let maxSourceBytes = 4 << 20
  /// Nesting of a template's own text, and of the values it builds.
  static let maxSyntaxDepth = 200
  static let maxValueDepth = 1_000
  static let maxRangeLength = 100_000

  package enum Resource: Sendable, Equatable, CustomStringConvertible {
    case steps(Int), producedBytes(Int), outputBytes(Int), depth(Int), syntaxDepth, valueDepth, range, source

    package var description: String {
      switch self {
      case .steps(let limit): "more than \(limit) steps"
      case .producedBytes(let limit): "more than \(limit) bytes of text were produced on the way"
      case .outputBytes(let limit): "the output exceeds \(limit) bytes"
      case .depth(let limit): "calls are nested deeper than \(limit)"
      case .syntaxDepth: "the template's text is nested deeper than \(TemplateLimits.maxSyntaxDepth)"
      case .valueDepth: "values are nested deeper than \(TemplateLimits.maxValueDepth)"
      case .range: "a range has more than \(TemplateLimits.maxRangeLength) numbers"
      case .source: "the template is longer than \(TemplateLimits.maxSourceBytes) bytes"
      }
    }
  }
}

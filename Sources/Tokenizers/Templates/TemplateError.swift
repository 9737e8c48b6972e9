/// Why a chat template can't be compiled or rendered, and at which line of it.
package struct TemplateError: Error, Equatable, Sendable {
  /// What Python's exception would be is said for each, because that is where template authors look.
  package enum Problem: Error, Equatable, Sendable {
    /// `TemplateSyntaxError`.
    case syntax(String)
    case unknownTag(String)
    case unknownFilter(String)
    case unknownTest(String)
    /// `UndefinedError`: an undefined value was used for more than printing or testing.
    case undefined(String)
    /// `TypeError`.
    case type(String)
    /// `ValueError`, and the loader's and runtime's own complaints.
    case value(String)
    /// `SecurityError`: what the sandbox keeps templates from.
    case unsafe(String)
    case divisionByZero
    /// The whole number does not fit 64 bits.
    case integerOverflow
    /// The template refused its input through `raise_exception`: the text is meant for the client.
    case raised(String)
    case limit(TemplateLimits.Resource)
    /// `continue_final_message` was asked for, but the final message can't be found in the output.
    case finalMessageNotRendered
  }

  package let problem: Problem
  /// From 1; 0 when the error belongs to no line.
  package let line: Int

  package init(_ problem: Problem, line: Int) {
    self.problem = problem
    self.line = line
  }
}

/// What everything below `ChatTemplate` throws; the line is added where it is known.
typealias TemplateProblem = TemplateError.Problem

extension TemplateError: CustomStringConvertible {
  package var description: String {
    line > 0 ? "chat template, line \(line): \(problem)" : "chat template: \(problem)"
  }
}

extension TemplateError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .syntax(let text), .undefined(let text), .type(let text), .value(let text), .unsafe(let text),
      .raised(let text):
      text
    case .unknownTag(let name): "unknown tag '\(name)'"
    case .unknownFilter(let name):
      "unknown filter '\(name)'; known are \(TemplateFilters.names.joined(separator: ", "))"
    case .unknownTest(let name):
      "unknown test '\(name)'; known are \(TemplateTests.names.joined(separator: ", "))"
    case .divisionByZero: "division by zero"
    case .integerOverflow: "a whole number exceeds 64 bits"
    case .limit(let resource): "gave up: \(resource)"
    case .finalMessageNotRendered:
      "the final message can't be continued because the template does not print it as it is"
    }
  }
}

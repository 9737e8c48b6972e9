import JSON
import TestSupport
import Testing
import Tokenizers

/// Every case was rendered by Python's Jinja; `Scripts/goldens/templates.py` says how.
@Suite struct TemplateGoldenTests {
  static let now = TemplateDate(year: 2024, month: 7, day: 6, hour: 5, minute: 4, second: 3)

  @Test(arguments: ["operators", "expressions", "statements", "whitespace", "random"])
  func rendersAsPythonDoes(file: String) throws {
    let context = try #require(try Self.fixture("context").object)
    let cases = try #require(try Self.fixture(file).array)
    #expect(cases.count > 200)
    var wrong: [String] = []
    for item in cases {
      let source = try #require(item[0]?.string)
      let expected = try #require(item[1])
      let actual = Self.render(source, context)
      if !Self.agree(actual, expected) {
        wrong.append("\(source.debugDescription)\n  \(expected)\n  \(actual)")
      }
    }
    let report = wrong.prefix(40).joined(separator: "\n")
    if !wrong.isEmpty {
      Issue.record("\(wrong.count) of \(cases.count) differ (template, Python, ours):\n\(report)")
    }
  }

  static func fixture(_ name: String) throws -> JSONValue {
    try JSONValue.parse(try Fixtures.bytes("templates/\(name).json"))
  }

  /// The text, or `{"error": category}` as in the files.
  static func render(_ source: String, _ variables: JSONObject) -> JSONValue {
    do {
      return .string(try ChatTemplate(source: source).render(variables, now: now))
    } catch {
      return ["error": .string(category(of: error.problem))]
    }
  }

  /// Python has many reasons for "other"; that both refuse is what counts there.
  private static func agree(_ actual: JSONValue, _ expected: JSONValue) -> Bool {
    guard let actualError = actual["error"]?.string, let expectedError = expected["error"]?.string else {
      return actual == expected
    }
    let told = { (name: String) in
      name == "undefined" || name == "unsafe" || name == "zero" || name.hasPrefix("raised")
    }
    return told(actualError) || told(expectedError) ? actualError == expectedError : true
  }

  private static func category(of problem: TemplateError.Problem) -> String {
    switch problem {
    case .raised(let message): "raised:\(message)"
    case .undefined: "undefined"
    case .unsafe: "unsafe"
    case .divisionByZero: "zero"
    case .syntax, .unknownTag, .unknownFilter, .unknownTest: "syntax"
    default: "other"
    }
  }
}

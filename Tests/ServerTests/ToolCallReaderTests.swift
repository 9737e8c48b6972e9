import JSON
import TestSupport
import Testing

@testable import Server

/// What a reader says, put together.
private struct Message: Equatable {
  var content = ""
  var calls: [String] = []

  mutating func take(_ parts: [ToolCallReader.Part]) {
    for part in parts {
      switch part {
      case .content(let text): content += text
      case .call(let index, let name):
        #expect(index == calls.count)
        calls.append(name + " ")
      case .arguments(let index, let text):
        #expect(index == calls.count - 1)
        if calls.indices.contains(index) { calls[index] += text }
      }
    }
  }

  init(_ use: ToolUse, _ pieces: [String]) {
    var reader = ToolCallReader(use)
    for piece in pieces { take(reader.append(piece)) }
    take(reader.finish())
  }

  init(_ content: String, _ calls: [String]) { (self.content, self.calls) = (content, calls) }
}

@Suite("Calls of tools in text")
struct ToolCallReaderTests {
  struct Case: Sendable, CustomStringConvertible {
    var use: ToolUse
    var text: String
    var content: String
    var calls: [String]

    init(_ use: ToolUse, _ text: String, _ content: String, _ calls: [String]) {
      (self.use, self.text, self.content, self.calls) = (use, text, content, calls)
    }

    var description: String { "\(use) \(text)" }
  }

  static let cases: [Case] = [
    Case(.none, "<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", []),
    Case(.auto(.hermes), "Just text with < and <tool.", "Just text with < and <tool.", []),
    Case(
      .auto(.hermes), "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}é\\\"\"]}}\n</tool_call>",
      "",
      ["f {\"x\": [1, \"}é\\\"\"]}"]),
    Case(
      .auto(.hermes),
      "Let me see. <tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"arguments\":{\"a\":1},\"name\":\"g\"}</tool_call>",
      "Let me see. ", ["f {}", "g {\"a\":1}"]),
    Case(.auto(.hermes), "<tool_call>{\"name\":\"f\"}</tool_call> and more", " and more", ["f {}"]),
    Case(.auto(.hermes), "<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
    Case(.auto(.hermes), "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\"", "", ["f {\"a\""]),
    Case(.auto(.hermes), "<tool_call>{\"name\":\"f", "<tool_call>{\"name\":\"f", []),
    Case(
      .auto(.hermes), "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>", "",
      ["f {\"a\": 1}"]),
    Case(.auto(.hermes), "<<tool_call>{\"id\":12,\"name\":\"f\",\"arguments\":{}}", "<", ["f {}"]),
    Case(.auto(.llama3JSON), "{\"name\": \"f\", \"parameters\": {\"x\": 1}}", "", ["f {\"x\": 1}"]),
    Case(
      .auto(.llama3JSON),
      "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
      "", ["f {}", "g {}"]),
    Case(.auto(.llama3JSON), "Hello {\"name\": \"f\"}", "Hello {\"name\": \"f\"}", []),
    Case(.auto(.llama3JSON), "{\"name\": \"Bob\", \"age\": 3} x", "{\"name\": \"Bob\", \"age\": 3} x", []),
    Case(.auto(.llama3JSON), " <|python_x", " <|python_x", []),
    Case(
      .auto(.mistral),
      "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
      "", ["f {\"a\": 1}", "g {}"]),
    Case(
      .auto(.mistral), "Text[TOOL_CALLS]f[ARGS]{\"a\": {\"b\": \"}\"}}[TOOL_CALLS]g{\"c\": 2}", "Text",
      ["f {\"a\": {\"b\": \"}\"}}", "g {\"c\": 2}"]),
    Case(.auto(.mistral), "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{}", "", ["f {}"]),
    Case(.auto(.mistral), "[TOOL_CALLS][\"no\"]", "[TOOL_CALLS][\"no\"]", []),
    Case(.auto(.mistral), "[TOOL_CA [TOOL_CALLS]", "[TOOL_CA [TOOL_CALLS]", []),
    Case(
      .required, "[{\"name\":\"f\",\"parameters\":{\"x\":1}},\n{\"name\":\"g\",\"parameters\":{}}]", "",
      ["f {\"x\":1}", "g {}"]),
    Case(.named("f"), "{\"x\": 1}", "", ["f {\"x\": 1}"]),
    Case(.named("f"), "", "", ["f "]),
  ]

  @Test("are found", arguments: cases)
  func whole(_ testCase: Case) {
    #expect(Message(testCase.use, [testCase.text]) == Message(testCase.content, testCase.calls))
  }

  @Test("are the same however the text is cut")
  func splits() {
    var generator = SeededGenerator(seed: 4)
    let pieces = [
      "<tool_call>", "</tool_call>", "<tool", "{\"name\": \"f\", \"arguments\": {\"a\": \"é🙂}\"}}",
      "{\"name\":\"g\"}", "\n",
      " ", "text", "é", "{", "}", "[TOOL_CALLS]", "[", "]", "[ARGS]", "f", "<|python_tag|>", ";", ",", "\"",
      "{\"name\":\"h\",\"parameters\":{\"k\":[{}]}}", "\\", "{\"arguments\":{\"z\":0},\"name\":\"i\"}",
    ]
    let uses: [ToolUse] = [
      .auto(.hermes), .auto(.llama3JSON), .auto(.mistral), .required, .named("n"), .none,
    ]
    var calls = 0
    for round in 0..<3000 {
      let use = uses[round % uses.count]
      let text: String
      if round % 3 == 0 {
        text = Self.cases.randomElement(using: &generator)?.text ?? ""
      } else {
        text = (0..<Int.random(in: 1...9, using: &generator)).map { _ in
          pieces.randomElement(using: &generator) ?? ""
        }.joined()
      }
      let expected = Message(use, [text])
      calls += expected.calls.count
      // Whole characters, as the detokeniser gives them.
      var parts: [String] = []
      for scalar in text.unicodeScalars {
        if parts.isEmpty || Int.random(in: 0..<3, using: &generator) == 0 { parts.append("") }
        parts[parts.count - 1].unicodeScalars.append(scalar)
      }
      #expect(Message(use, parts) == expected, "\(use) \(parts)")
      if use == .none { #expect(expected.content == text) }
    }
    #expect(calls > 500)
  }
}

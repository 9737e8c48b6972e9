import JSON
import TestSupport
import Testing
import Tokenizers

@Suite struct ChatTemplateTests {
  static let families = [
    "chatml", "deepseek", "demo", "gemma", "gemma_tools", "harmony", "llama2", "llama3", "mistral", "parts",
    "phi",
    "qwen25", "qwen3",
  ]

  static func source(_ family: String) throws -> String {
    if family == "demo" {
      let configuration = try JSONValue.parse(try Fixtures.bytes("demo/tokenizer_config.json"))
      return try #require(ChatTemplate.source(in: configuration))
    }
    return String(decoding: try Fixtures.bytes("templates/families/\(family).jinja"), as: UTF8.self)
  }

  @Test(arguments: families)
  func aFamilysConversationsAreRenderedAsPythonDoes(family: String) throws {
    let source = try Self.source(family)
    let conversations = try #require(try TemplateGoldenTests.fixture("conversations").array)
    let goldens = try #require(try TemplateGoldenTests.fixture("families").array)
    var count = 0
    for golden in goldens where golden["template"]?.string == family {
      let conversation = try #require(conversations.first { $0["name"] == golden["conversation"] })
      let variables = try #require(conversation["variables"]?.object)
      let rendered = TemplateGoldenTests.render(source, variables)
      #expect(rendered == golden["output"], "\(family), \(conversation["name"]?.string ?? "")")
      count += 1
    }
    #expect(count == conversations.count)
  }

  @Test func theParametersBecomeTheTemplatesVariables() throws {
    let template = try ChatTemplate(
      source: "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ tools }}{{ documents }}"
        + "{{ add_generation_prompt }}{{ continue_final_message }}{{ enable_thinking }}{{ eos_token }}")
    let prompt = try template.render(
      messages: [["role": "user", "content": "hi"]], tools: [["a": 1]], addGenerationPrompt: true,
      specialTokens: ["bos_token": "<s>"], extra: ["enable_thinking": false])
    #expect(prompt == "<s>hi[{'a': 1}]NoneTrueFalse")
  }

  @Test func theDateIsTheCallers() throws {
    let template = try ChatTemplate(source: "{{ strftime_now('%Y-%m-%d %H:%M:%S %f %a') }}")
    let date = TemplateDate(year: 2026, month: 2, day: 28, hour: 23, minute: 59, second: 1)
    #expect(try template.render([:], now: date) == "2026-02-28 23:59:01 000000 Sat")
    #expect(TemplateDate.now().year >= 2024)
  }

  @Test(arguments: [
    ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "ab ", "user: q\nassistant: ab "),
    ("{% for m in messages %}[{{ m.content | trim }}]{% endfor %}", "ab ", "[q][ab"),
    ("{% for m in messages %}<{{ m.content }}></s>{% endfor %}", " ab", "<q></s>< ab"),
    (
      "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "q",
      "qqqCONTINUE_FINAL_MESSAGE_TAG q"
    ),
  ])
  func theFinalMessageIsLeftOpen(source: String, answer: String, expected: String) throws {
    let messages: JSONValue = [
      ["role": "user", "content": "q"], ["role": "assistant", "content": .string(answer)],
    ]
    let template = try ChatTemplate(source: source)
    #expect(try template.render(messages: messages, continueFinalMessage: true) == expected)
  }

  @Test func aFinalMessageInPartsIsLeftOpenBehindItsText() throws {
    let template = try ChatTemplate(
      source:
        "{% for m in messages %}{% for p in m.content %}{{ p.text or '*' }}{% endfor %}<end>{% endfor %}")
    let messages: JSONValue = [["role": "assistant", "content": [["text": "ab"], ["type": "image"]]]]
    #expect(try template.render(messages: messages, continueFinalMessage: true) == "ab")
  }

  @Test(
    arguments: [
      [], [["role": "user"]], [["content": nil]], [["content": [["type": "image"]]]], "text",
      [["content": "never printed"]],
    ] as [JSONValue])
  func aFinalMessageThatCannotBeFoundIsRefused(messages: JSONValue) throws {
    let template = try ChatTemplate(source: "fixed")
    let error = #expect(throws: TemplateError.self) {
      try template.render(messages: messages, continueFinalMessage: true)
    }
    #expect(error?.problem == .finalMessageNotRendered)
  }

  @Test func oneOfSeveralTemplatesIsChosen() {
    let several: JSONValue = [
      "chat_template": [
        ["name": "default", "template": "d"], ["name": "tool_use", "template": "t"],
        ["name": "rag", "template": "r"],
      ]
    ]
    #expect(ChatTemplate.source(in: several) == "d")
    #expect(ChatTemplate.source(in: several, withTools: true) == "t")
    #expect(ChatTemplate.source(in: ["chat_template": "x"], withTools: true) == "x")
    #expect(
      ChatTemplate.source(in: ["chat_template": [["name": "default", "template": "d"]]], withTools: true)
        == "d")
    #expect(ChatTemplate.source(in: [:]) == nil)
  }

  @Test(
    arguments: [
      ("{% for m in messages %}{{ m.content }}{% endfor %}", .string),
      ("{% for m in messages %}{% for c in m.content %}{% endfor %}{% endfor %}", .openai),
      ("{% for m in messages %}{% for c in m['content'] | reverse %}{% endfor %}{% endfor %}", .openai),
      ("{% for m in messages[1:] %}{% for c in m['content'][:2] %}{% endfor %}{% endfor %}", .openai),
      (
        "{% set rest = messages[1:] %}{% set all = rest|list %}{% for m in all %}{% for c in m.content %}{% endfor %}{% endfor %}",
        .openai
      ),
      (
        "{% if x %}{% for m in messages %}{% if m.content is string %}{% else %}{% for c in m.content %}{% endfor %}{% endif %}{% endfor %}{% endif %}",
        .openai
      ),
      ("{% for m in messages %}{% for c in m.tool_calls %}{% endfor %}{% endfor %}", .string),
      ("{% for m in others %}{% for c in m.content %}{% endfor %}{% endfor %}", .string),
      ("{% for m in messages %}{% for c in n.content %}{% endfor %}{% endfor %}", .string),
      (
        "{% for m in messages %}{% set content = m.content %}{% for c in content %}{% endfor %}{% endfor %}",
        .string
      ),
    ] as [(String, ChatTemplateContentFormat)])
  func whatContentATemplateWantsIsSeenInItsLoops(source: String, expected: ChatTemplateContentFormat) throws {
    #expect(try ChatTemplate(source: source).contentFormat == expected)
  }

  @Test(
    arguments: zip(
      families,
      [
        .string, .string, .string, .string, .openai, .string, .string, .string, .openai, .openai, .string,
        .string, .string,
      ] as [ChatTemplateContentFormat]))
  func theFamiliesContentFormatsAreSeen(family: String, expected: ChatTemplateContentFormat) throws {
    #expect(try ChatTemplate(source: try Self.source(family)).contentFormat == expected)
  }

  @Test func oneTemplateRendersOnManyThreads() async throws {
    let template = try ChatTemplate(source: try Self.source("qwen3"))
    let messages: JSONValue = [["role": "user", "content": "Hello"]]
    let expected = try template.render(messages: messages, addGenerationPrompt: true)
    try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<32 {
        group.addTask { try template.render(messages: messages, addGenerationPrompt: true) }
      }
      for try await prompt in group { #expect(prompt == expected) }
    }
  }
}

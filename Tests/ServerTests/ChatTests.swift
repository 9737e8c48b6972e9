import JSON
import Testing
import Tokenizers

@testable import Generation
@testable import Server

@Suite("Chat completions")
struct ChatTests {
  /// The prompt the engine got, as text.
  private func prompt(_ api: TestAPI) throws -> String {
    try TestAPI.demoTokenizer().decode(try #require(api.service.submissions.last?.request.prompt))
  }

  @Test("An answer has every field the API promises", arguments: World.allCases)
  func shape(_ world: World) throws {
    let api = try TestAPI(world)
    let answer = try api.post(
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "Hi"]], "max_completion_tokens": 4, "logprobs": true,
        "top_logprobs": 2, "ignore_eos": true, "prompt_logprobs": 0,
      ])
    #expect(answer.status == 200)
    let json = answer.json
    #expect(json["id"]?.string?.hasPrefix("chatcmpl-") == true)
    #expect(json["object"] == "chat.completion")
    #expect(json["prompt_logprobs"]?[0] == .null)
    let choice = try #require(json["choices"]?[0])
    #expect(choice["message"]?["role"] == "assistant")
    #expect(choice["message"]?["content"]?.string?.isEmpty == false)
    #expect(choice["message"]?["tool_calls"] == nil)
    #expect(choice["finish_reason"] == "length")
    let content = try #require(choice["logprobs"]?["content"]?.array)
    #expect(content.count == 4)
    for entry in content {
      #expect(entry.object?.keys == ["token", "logprob", "bytes", "top_logprobs"])
      #expect(entry["top_logprobs"]?.array?.count == 2)
      let bytes = try #require(entry["bytes"]?.ints).map { UInt8($0) }
      #expect(entry["token"]?.string == AssembledToken.Entry.text(of: bytes))
    }
  }

  @Test("Messages reach the template in the form it takes")
  func content() throws {
    let api = try TestAPI()
    _ = try api.post(
      "/v1/chat/completions",
      [
        "messages": [
          ["role": "system", "content": "Be brief"],
          ["role": "user", "content": [["type": "text", "text": "a"], "b"]],
        ]
      ])
    #expect(try prompt(api) == "system: Be brief\nuser: a\nb\nassistant:")

    let parts = PromptTemplate(takesContentParts: true) { input throws(APIError) in
      input.messages[0]?["content"]?.serialized() ?? ""
    }
    let other = try TestAPI(template: parts)
    _ = try other.post("/v1/chat/completions", ["messages": [["role": "user", "content": "a"]]])
    #expect(try prompt(other) == #"[{"type":"text","text":"a"}]"#)
  }

  @Test("Tool calls' arguments are parsed, and reasoning has both its names")
  func toolCalls() throws {
    let template = PromptTemplate(takesContentParts: false) { input throws(APIError) in
      input.messages[0]?.serialized() ?? ""
    }
    let api = try TestAPI(template: template)
    _ = try api.post(
      "/v1/chat/completions",
      [
        "messages": [
          [
            "role": "assistant", "reasoning_content": "r",
            "tool_calls": [["id": "c", "function": ["name": "f", "arguments": #"{"x":[1]}"#]]],
          ]
        ]
      ])
    let message = try JSONValue.parse(try prompt(api))
    #expect(message["tool_calls"]?[0]?["function"]?["arguments"] == ["x": [1]])
    #expect(message["reasoning"] == "r")
    #expect(message["content"] == .null)
  }

  @Test("Template variables come from the request")
  func variables() throws {
    let api = try TestAPI()
    _ = try api.post(
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "a"]], "reasoning_effort": "none",
        "chat_template_kwargs": ["extra": 5], "tools": [["function": ["name": "f"]]],
        "tool_choice": "none",
      ])
    let text = try prompt(api)
    #expect(text.contains("reasoning_effort=\"none\""))
    #expect(text.contains("enable_thinking=false"))
    #expect(text.contains("extra=5"))
    #expect(text.contains(#"tools: [{"function":{"name":"f"}}]"#))
  }

  @Test("A final assistant message can be continued")
  func continuation() throws {
    let api = try TestAPI()
    let messages: JSONValue = [["role": "user", "content": "a"], ["role": "assistant", "content": "b"]]
    let answer = try api.post(
      "/v1/chat/completions",
      ["messages": messages, "continue_final_message": true, "add_generation_prompt": false])
    #expect(answer.status == 200)
    #expect(try prompt(api) == "user: a\nassistant: b")
    let both = try api.post("/v1/chat/completions", ["messages": messages, "continue_final_message": true])
    #expect(
      both.errorMessage == "Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    let user = try api.post(
      "/v1/chat/completions",
      ["messages": [messages[0] ?? .null], "continue_final_message": true, "add_generation_prompt": false])
    #expect(user.status == 400)
  }

  @Test("A request's own template needs trust")
  func ownTemplate() throws {
    let body: JSONValue = ["messages": [["role": "user", "content": "a"]], "chat_template": "fixed text"]
    #expect(try TestAPI().post("/v1/chat/completions", body).json["error"]?["param"] == "chat_template")
    let trusting = try TestAPI(options: with(ServerOptions()) { $0.trustsRequestChatTemplates = true })
    #expect(try trusting.post("/v1/chat/completions", body).status == 200)
    #expect(try prompt(trusting) == "fixed text")
  }

  @Test("Template errors and missing templates are the client's to hear")
  func templateErrors() throws {
    let failing = PromptTemplate(takesContentParts: false) { _ throws(APIError) in
      throw APIError(400, .badRequest, "roles must alternate")
    }
    let body: JSONValue = ["messages": [["role": "user", "content": "a"]]]
    let answer = try TestAPI(template: failing).post("/v1/chat/completions", body)
    #expect(answer.status == 400)
    #expect(answer.errorMessage == "roles must alternate")
    let none = try TestAPI(template: nil).post("/v1/chat/completions", body)
    #expect(none.status == 400)
    #expect(none.errorMessage.contains("no chat template"))
  }

  @Test(
    "Tool choices that can't be followed are refused, not ignored", arguments: ["auto", "absent", "named"])
  func toolChoice(choice: String) throws {
    let value: JSONValue =
      choice == "absent" ? nil : choice == "auto" ? "auto" : ["type": "function", "function": ["name": "g"]]
    let answer = try TestAPI().post(
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "a"]], "tools": [["function": ["name": "f"]]],
        "tool_choice": value,
      ])
    #expect(answer.status == 400)
    #expect(answer.json["error"]?["param"] == "tool_choice")
  }

  @Test("The output fills the context when no maximum is given")
  func openMaximum() throws {
    let api = try TestAPI(maxModelLength: 100)
    _ = try api.post("/v1/chat/completions", ["messages": [["role": "user", "content": "a"]]])
    let request = try #require(api.service.submissions.first?.request)
    #expect(request.stop.maxTokens == 100 - request.prompt.count)
  }
}

internal import JSON
internal import Tokenizers

/// The input is a template; whatever it says, it ends within its limits.
@c(LLVMFuzzerTestOneInput)
public func fuzzTemplate(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
  let limits = TemplateLimits(maxSteps: 20_000, maxProducedBytes: 1 << 20, maxOutputBytes: 1 << 18)
  guard let template = try? ChatTemplate(source: String(decoding: bytes, as: UTF8.self)) else { return 0 }
  for isContinued in [false, true] {
    let prompt = try? template.render(
      messages: Variables.messages, tools: Variables.tools, addGenerationPrompt: !isContinued,
      continueFinalMessage: isContinued, specialTokens: ["bos_token": "<s>", "eos_token": "</s>"],
      extra: Variables.extra, limits: limits, now: TemplateDate(year: 2024, month: 7, day: 6))
    precondition((prompt?.utf8.count ?? 0) <= limits.maxOutputBytes)
  }
  return 0
}

private enum Variables {
  static let messages: JSONValue = [
    ["role": "system", "content": "Be brief."],
    ["role": "user", "content": " żółć \"É\"\n日本 😀 <b>\t"],
    [
      "role": "assistant", "content": nil,
      "tool_calls": [["function": ["name": "f", "arguments": ["x": 1.5]]]],
    ],
    ["role": "tool", "content": [["type": "text", "text": "21"]]],
    ["role": "assistant", "content": "It is 21."],
  ]
  static let tools: JSONValue = [
    ["function": ["name": "f", "parameters": ["properties": ["x": ["type": "number"]]]]]
  ]
  static let extra: JSONObject = [
    "s": "Hello World", "i": 7, "f": -2.5, "list": [3, 1, 2], "d": ["a": 1, "b": [1, "x", nil, true]],
  ]
}

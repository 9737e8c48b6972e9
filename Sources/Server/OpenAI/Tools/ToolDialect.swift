/// How a model writes calls of tools into its text (`--tool-call-parser`).
package enum ToolDialect: String, Sendable, CaseIterable {
  /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes, Qwen 2.5 and Qwen 3 write.
  case hermes
  /// `{"name": …, "parameters": {…}}`, more of them behind `;`, maybe behind `<|python_tag|>`: Llama 3.1 and later.
  case llama3JSON = "llama3_json"
  /// `[TOOL_CALLS]` and a list of calls, or a name and its arguments: Mistral.
  case mistral
}

/// What a request says about tools, decided.
enum ToolUse: Sendable, Equatable {
  /// The output is text.
  case none
  /// The model decides, and its text is read in this dialect.
  case auto(ToolDialect)
  /// One call or more, as a JSON list that the grammar asks for.
  case required
  /// The output is the arguments of this function.
  case named(String)
}

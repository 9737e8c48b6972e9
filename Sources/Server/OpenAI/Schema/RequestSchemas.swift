internal import JSON

/// The request bodies of all routes.
enum RequestSchemas {
  static let maximumPrompts = 1024

  static let completion = Schema(
    "CompletionRequest", "Continues one or more prompts.",
    fields: [
      SamplingFields.model,
      Field(
        "prompt",
        .either([
          .string(), .array(.string(), count: 0...maximumPrompts), .array(tokenID),
          .array(.array(tokenID), count: 0...maximumPrompts),
        ]), "A text, a list of token ids, or a list of up to 1,024 of either."
      ).required,
      Field(
        "max_tokens", .integer(0 ... .max), "Tokens to generate at most; 0 only with `echo`.", default: 16),
      Field("echo", .boolean, "Return the prompt before the output.", default: false),
      Field("logprobs", .integer(0 ... .max), "Log-probabilities of this many alternatives for each token."),
      Field("suffix", .string(), "Not supported; must be left out."),
      Field(
        "add_special_tokens", .boolean, "Let the tokenizer add its special tokens to text.", default: true),
      Field("user", .string(), "Ignored."),
    ] + SamplingFields.sampling + SamplingFields.stopping + SamplingFields.output + SamplingFields.prompt
      + StructuredOutput.fields,
    examples: [
      ["prompt": "Once upon a time", "max_tokens": 8, "temperature": 0],
      ["prompt": ["One", "Two"], "max_tokens": 4, "n": 2, "seed": 7],
      ["prompt": [5, 6, 7], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0],
      ["prompt": "Hello", "max_tokens": 4, "stream": true, "stream_options": ["include_usage": true]],
    ])

  static let chat = Schema(
    "ChatCompletionRequest", "Answers a conversation.",
    fields: [
      SamplingFields.model,
      Field("messages", messages, "The conversation so far.").required,
      Field(
        "max_completion_tokens", .integer(1 ... .max),
        "Tokens to generate at most; left out, what the context holds."),
      Field("max_tokens", .integer(1 ... .max), "The older name of max_completion_tokens."),
      Field("logprobs", .boolean, "Return log-probabilities of the output.", default: false),
      Field(
        "top_logprobs", .integer(-1 ... .max), "Alternatives for each token; needs `logprobs`.", default: 0),
      Field(
        "tool_choice", .either([.choice(["none", "auto", "required"]), .object(toolChoice)]),
        "auto (with tools): the model decides; required: one call or more; an object: this function."),
      Field("parallel_tool_calls", .boolean, "Let `required` be more than one call.", default: true),
      Field("include_reasoning", .boolean, "Ignored.", default: true),
      Field("user", .string(), "Ignored."),
    ] + template + SamplingFields.sampling + SamplingFields.stopping + SamplingFields.output
      + SamplingFields.prompt + StructuredOutput.fields,
    examples: [
      ["messages": [["role": "user", "content": "Hello"]], "max_tokens": 8],
      [
        "messages": [["role": "user", "content": "Yes or no?"]], "max_tokens": 8,
        "structured_outputs": ["choice": ["yes", "no"]],
      ],
      [
        "messages": [
          ["role": "system", "content": "Be brief."],
          ["role": "user", "content": [["type": "text", "text": "Hello"]]],
        ], "max_completion_tokens": 4, "stream": true, "logprobs": true, "top_logprobs": 2,
      ],
    ])

  static let embeddings = Schema(
    "EmbeddingRequest", "Turns texts into vectors.",
    fields: [
      SamplingFields.model,
      Field(
        "input",
        .either([
          .string(), .array(.string(), count: 0...EmbeddingRequest.maximumInputs), .array(tokenID),
          .array(.array(tokenID), count: 0...EmbeddingRequest.maximumInputs),
        ]), "A text, a list of token ids, or a list of up to 2,048 of either."
      ).required,
      Field(
        "encoding_format", .choice(["float", "base64"]), "base64: of float32, little-endian.",
        default: "float"),
      Field("dimensions", .integer(1 ... .max), "Not supported; must be left out."),
      Field(
        "add_special_tokens", .boolean, "Let the tokenizer add its special tokens to text.", default: true),
      Field("use_activation", .boolean, "Scale each vector to length 1.", default: true),
      Field("normalize", .boolean, "The older name of use_activation."),
      Field("embed_dtype", .choice(["float32"]), "Only float32.", default: "float32"),
      Field("endianness", .choice(["native", "little"]), "Only little-endian.", default: "native"),
      Field("user", .string(), "Ignored."),
    ] + SamplingFields.prompt,
    examples: [
      ["input": "Once upon a time"], ["input": ["One", "Two"], "encoding_format": "base64"],
      ["input": [[5, 6, 7], [8]], "use_activation": false],
    ])

  static let batch = Schema(
    "CreateBatchRequest", "Answers the requests of a file, in the server's own time.",
    fields: [
      Field("input_file_id", .string(minimumLength: 1), "A file uploaded for batch.").required,
      Field(
        "endpoint", .choice(["/v1/completions", "/v1/chat/completions", "/v1/embeddings"]),
        "Where all requests of the file go."
      ).required,
      Field("completion_window", .choice(["24h"]), "How long it may take: 24h.").required,
      Field("metadata", .map(.string()), "Up to 16 pairs of text that come back with the batch."),
    ])

  static let loadAdapter = Schema(
    "LoadLoRAAdapterRequest", "Loads a PEFT adapter and serves it under a name.",
    fields: [
      Field("lora_name", .string(minimumLength: 1), "The name to ask for it by in `model`.").required,
      Field(
        "lora_path", .string(minimumLength: 1), "The adapter's directory on the server's machine."
      ).required,
      Field("load_inplace", .boolean, "Replace an adapter that has the name.", default: false),
    ],
    examples: [["lora_name": "poet", "lora_path": "/adapters/poet"]])

  static let unloadAdapter = Schema(
    "UnloadLoRAAdapterRequest", "Takes an adapter away; requests under way keep it to their end.",
    fields: [
      Field("lora_name", .string(minimumLength: 1), "The adapter's name.").required,
      Field("lora_int_id", .integer(), "Ignored."),
    ],
    examples: [["lora_name": "poet"]])

  static let tokenize = Schema(
    "TokenizeRequest", "Turns a text, or a conversation, into token ids.",
    fields: [
      SamplingFields.model,
      Field("prompt", .string(), "The text; either this or `messages`."),
      Field("messages", messages, "The conversation; either this or `prompt`."),
      Field("return_token_strs", .boolean, "Return the tokens as text too.", default: false),
    ] + template,
    examples: [["prompt": "Hello"], ["messages": [["role": "user", "content": "Hello"]]]])

  static let detokenize = Schema(
    "DetokenizeRequest", "Turns token ids into text.",
    fields: [SamplingFields.model, Field("tokens", .array(tokenID), "Token ids.").required],
    examples: [["tokens": [5, 6, 7]]])

  /// Ids are checked against the vocabulary where they are used, so that the message can name its size.
  private static let tokenID = FieldType.integer()

  private static let messages = FieldType.array(.object(message), count: 1...Int.max)

  private static let message = Schema(
    "ChatMessage", "One message.",
    fields: [
      Field(
        "role", .string(minimumLength: 1),
        "system, developer, user, assistant, tool, or what the template knows."
      )
      .required,
      Field(
        "content", .either([.string(), .array(.either([.string(), .object(part)]))]),
        "The text, or a list of text parts."),
      Field("name", .string(), "Passed to the template."),
      Field("tool_calls", .array(.object(toolCall)), "Calls the assistant made."),
      Field("tool_call_id", .string(), "The call a tool message answers."),
    ])

  private static let part = Schema(
    "ContentPart", "A part of a message; only text is supported.",
    fields: [Field("type", .string(), "text").required, Field("text", .string(), "The text.")])

  private static let toolCall = Schema(
    "ToolCall", "A call of a tool.",
    fields: [
      Field("id", .string(), "Named by the tool's answer."),
      Field("type", .string(), "function", default: "function"),
      Field(
        "function",
        .object(
          Schema(
            "FunctionCall", "The function and what it is given.",
            fields: [
              Field("name", .string(), "The function.").required,
              Field("arguments", .either([.string(), .map(.any)]), "JSON text of an object, or the object."),
            ])), "What is called."
      ).required,
    ])

  private static let tool = Schema(
    "Tool", "A tool the model may be told of.",
    fields: [
      Field("type", .choice(["function"]), "function", default: "function"),
      Field(
        "function",
        .object(
          Schema(
            "FunctionDefinition", "A function the model may call.",
            fields: [
              Field("name", .string(minimumLength: 1), "Its name.").required,
              Field("description", .string(), "What it does."),
              Field("parameters", .map(.any), "JSON Schema of its arguments."),
              Field("strict", .boolean, "Constrained calls always follow the schema, whatever this says."),
            ])), "The function."
      ).required,
    ])

  private static let toolChoice = Schema(
    "NamedToolChoice", "A function that must be called.",
    fields: [
      Field("type", .choice(["function"]), "function", default: "function"),
      Field(
        "function",
        .object(
          Schema(
            "NamedFunction", "The function.",
            fields: [Field("name", .string(minimumLength: 1), "Its name.").required])), "The function."
      ).required,
    ])

  private static let template: [Field] = [
    Field(
      "tools", .array(.object(tool), count: 1...Int.max),
      "Functions that the model may call; passed to the chat template."),
    Field("documents", .array(.map(.any)), "Passed to the chat template."),
    Field("add_generation_prompt", .boolean, "End the prompt with the start of an answer.", default: true),
    Field(
      "continue_final_message", .boolean,
      "Go on with the last message instead of answering it; needs add_generation_prompt false.",
      default: false),
    Field("add_special_tokens", .boolean, "Let the tokenizer add special tokens besides the template's."),
    Field(
      "chat_template", .string(minimumLength: 1),
      "Another template; only where the server trusts requests' templates."),
    Field("chat_template_kwargs", .map(.any), "More variables for the template."),
    Field(
      "reasoning_effort", .choice(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
      "A variable for the template; `none` also sets enable_thinking to false."),
  ]
}

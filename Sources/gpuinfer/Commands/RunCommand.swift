internal import Generation
internal import JSON
internal import Server
internal import Tokenizers

/// `gpuinfer run`: one prompt, or a conversation in the terminal.
enum RunCommand: Command {
  static let specification = CommandSpecification(
    name: "run", summary: "Complete a prompt, or chat in the terminal.", positionals: [.model],
    options: [
      .value(
        "--prompt", "TEXT", aliases: ["-p"], "The prompt; left out, standard input, or a chat on a terminal."),
      .value("--max-tokens", "N", aliases: ["-n"], default: "128", "Tokens to generate."),
      .value("--temperature", "T", default: "the model's", "0 always takes the most likely token."),
      .value(
        "--top-p", "P", default: "the model's",
        "Sample from the most likely tokens of this total probability."),
      .value("--top-k", "K", default: "the model's", "Sample from the K most likely tokens; 0: all."),
      .value(
        "--min-p", "P", default: "the model's", "Leave out tokens less likely than P times the most likely."),
      .repeated("--stop", "TEXT", "End the text before this."),
      .flag("--ignore-eos", "Go on behind the end of the text."),
      .flag("--chat", "Put the prompt into the model's chat template."),
      .value("--system", "TEXT", "A system message for the chat."),
      .flag("--json", "Print one JSON document instead of the text as it comes."),
    ] + EngineFlags.options,
    discussion: """
      gpuinfer run --prompt "The boy" --max-tokens 40 --temperature 0
      gpuinfer run                                 # an interactive chat
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let settings = try RunSettings(arguments)
    var prompt = arguments.string("--prompt")
    let isInteractive = prompt == nil && Console.inputIsTerminal
    if prompt == nil, !isInteractive {
      prompt = String(decoding: try Files.read("-"), as: UTF8.self)
    }
    let path = try ModelPath.resolve(arguments.positional(0))
    let host = try EngineHost(arguments, path: path, names: [])
    defer { host.engine.stop() }
    var conversation = Conversation(host: host, system: arguments.string("--system"))
    if let prompt {
      let ids =
        settings.chats
        ? try conversation.ask(prompt)
        : try host.model.tokenizer.encode(prompt, addSpecialTokens: true)
      let outcome = try Completion.run(ids, settings, host) { settings.printsJSON ? () : Console.write($0) }
      Console.write(settings.printsJSON ? outcome.json : "\n")
      return
    }
    Console.error("chatting with \(host.served.name); an empty line or Ctrl-D ends")
    while let line = readPrompt(), !line.isEmpty {
      let outcome = try Completion.run(try conversation.ask(line), settings, host) { Console.write($0) }
      Console.write("\n")
      conversation.answer(outcome.text)
    }
  }

  private static func readPrompt() -> String? {
    Console.errorInPlace("> ")
    return readLine()
  }
}

/// The turns of a chat, rendered anew for each question.
private struct Conversation {
  private let template: PromptTemplate?
  private let tokenizer: Tokenizer
  private var messages: [JSONValue] = []

  init(host: EngineHost, system: String?) {
    template = host.served.template
    tokenizer = host.model.tokenizer
    if let system { messages.append(["role": "system", "content": .string(system)]) }
  }

  mutating func ask(_ text: String) throws -> [Int32] {
    guard let template else {
      throw Failure(
        .badData,
        "the model has no chat template; give one with --chat-template, or use --prompt without --chat")
    }
    messages.append(["role": "user", "content": content(text)])
    do {
      let prompt = try template.render(PromptTemplate.Input(messages: .array(messages)))
      return try tokenizer.encode(prompt, addSpecialTokens: false)
    } catch let error as APIError {
      throw Failure(.badData, error.message)
    }
  }

  mutating func answer(_ text: String) {
    messages.append(["role": "assistant", "content": content(text)])
  }

  private func content(_ text: String) -> JSONValue {
    template?.takesContentParts == true
      ? .array([["type": "text", "text": .string(text)]]) : .string(text)
  }
}

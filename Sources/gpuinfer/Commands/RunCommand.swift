internal import Generation
internal import Models
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
      let text = String(decoding: try Files.read("-"), as: UTF8.self)
      if text.isEmpty {
        throw Failure(.badData, "standard input is empty; give a prompt there or with --prompt")
      }
      prompt = text
    }
    let path = try ModelPath.resolve(arguments.positional(0))
    let interrupts = isInteractive ? try Interrupts() : nil
    let host = try EngineHost(arguments, path: path, names: [])
    defer { host.engine.stop() }
    var conversation = Conversation(host: host, system: arguments.string("--system"))
    if let interrupts {
      try chat(&conversation, settings, host, interrupts)
    } else if let prompt {
      let ids =
        settings.chats
        ? try conversation.ask(prompt, limit: .max)
        : try host.model.tokenizer.encode(prompt, addSpecialTokens: true)
      let outcome = try Completion.run(ids, settings, host) { settings.printsJSON ? () : Console.write($0) }
      Console.write(settings.printsJSON ? outcome.json : "\n")
    }
  }

  /// Asks and answers until the input ends. Ctrl-C ends an answer, between answers the program.
  private static func chat(
    _ conversation: inout Conversation, _ settings: RunSettings, _ host: EngineHost, _ interrupts: Interrupts
  ) throws {
    let length = host.reservation.limits.maxModelLength
    // An answer keeps at least a quarter of the context for itself.
    let limit = length - min(settings.maxTokens, length / 4)
    Console.error("chatting with \(host.served.name); Ctrl-C stops an answer, an empty line or Ctrl-D ends")
    while let line = readPrompt(), !line.isEmpty {
      do {
        let ids = try conversation.ask(line, limit: limit)
        interrupts.collect(true)
        let outcome = try Completion.run(
          ids, settings, host, show: { Console.write($0) }, isStopped: { interrupts.hasCome })
        interrupts.collect(false)
        conversation.answer(outcome.text)
        Console.write("\n")
      } catch let error as QuestionTooLong {
        Console.error(error.description)
      }
    }
  }

  private static func readPrompt() -> String? {
    Console.errorInPlace("> ")
    return readLine()
  }
}

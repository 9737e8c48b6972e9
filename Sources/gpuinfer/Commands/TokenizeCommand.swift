internal import JSON
internal import Server
internal import Tokenizers

/// `gpuinfer tokenize`: JSON lines in, JSON lines out, one for one.
enum TokenizeCommand: Command {
  static let specification = CommandSpecification(
    name: "tokenize", summary: "Turn text into token ids, or back.", positionals: [.model],
    options: [
      .flag("--decode", "Read id arrays and write strings."),
      .flag("--no-special", "Add no special tokens when encoding; leave them out when decoding."),
    ],
    discussion: """
      Reads one JSON value a line from standard input and writes one a line: a string becomes an array of ids,
      with --decode an array becomes a string.

        printf '%s\\n' '"The boy"' | gpuinfer tokenize
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let path = try ModelPath.resolve(arguments.positional(0))
    let tokenizer = try LoadedTokenizer.load(path)
    let decodes = arguments.has("--decode")
    let special = !arguments.has("--no-special")
    let lines = try LineReader(path: "/dev/stdin", maximumLineBytes: 1 << 30)
    var number = 0
    while let next = try lines.next() {
      number += 1
      guard case .bytes(let line, _) = next else {
        throw Failure(.badData, "standard input, line \(number): longer than 1 GiB")
      }
      var writer = JSONWriter()
      do {
        let value = try JSONValue.parse(line)
        if decodes {
          writer.string(tokenizer.decode(try ids(of: value), skipSpecialTokens: !special))
        } else {
          guard let text = value.string else {
            throw Failure(.badData, "expected a JSON string, such as \"The boy\" with its quotes")
          }
          writer.beginArray()
          for id in try tokenizer.encode(text, addSpecialTokens: special) { writer.integer(Int64(id)) }
          writer.endArray()
        }
      } catch {
        let failure = Failure(describing: error)
        let code = failure.code == .internalError ? failure.code : .badData
        let hint =
          error is JSONError && !decodes
          ? "; a line is a JSON string, such as \"The boy\" with its quotes" : ""
        throw Failure(code, "standard input, line \(number): \(failure.message)\(hint)")
      }
      Console.write(String(decoding: writer.bytes, as: UTF8.self) + "\n")
    }
  }

  private static func ids(of value: JSONValue) throws(Failure) -> [Int32] {
    guard let array = value.array else { throw Failure(.badData, "expected an array of token ids") }
    var ids: [Int32] = []
    ids.reserveCapacity(array.count)
    for (index, element) in array.enumerated() {
      guard let number = element.int, let id = Int32(exactly: number), id >= 0 else {
        throw Failure(.badData, "element \(index) is no token id")
      }
      ids.append(id)
    }
    return ids
  }
}

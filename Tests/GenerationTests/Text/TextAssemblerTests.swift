import TestSupport
import Testing
import Tokenizers

@testable import Generation

@Suite struct TextAssemblerTests {
  static let models = ["demo", "tiny/llama", "tiny/gpt2"]

  private func tokenizer(_ model: String) throws -> Tokenizer {
    try Tokenizer.load(directory: Fixtures.path(model))
  }

  private func assemble(
    _ tokens: [Int32], _ tokenizer: Tokenizer, _ options: TextOptions, reason: FinishReason = .length
  ) -> (text: String, end: TextEnd?, deltas: [TextDelta]) {
    var assembler = TextAssembler(tokenizer, options)
    var deltas = tokens.map { assembler.append($0) }
    deltas.append(assembler.finish(reason))
    return (deltas.map(\.text).joined(), assembler.end, deltas)
  }

  @Test("Streamed text is the text of all tokens, cut at the first stop string", arguments: models)
  func streaming(model: String) throws {
    let tokenizer = try tokenizer(model)
    var random = SeededGenerator(seed: 1)
    let phrase = "The boy 🙂 said “naïve” — 日本語 and éé, then stopped."
    let known = try tokenizer.encode(phrase, addSpecialTokens: false)
    for round in 0..<60 {
      var tokens: [Int32] = []
      for _ in 0..<Int.random(in: 0...30, using: &random) {
        if round % 2 == 0 {
          tokens.append(Int32.random(in: 0..<Int32(tokenizer.vocabularySize), using: &random))
        } else {
          tokens += known.dropFirst(Int.random(in: 0..<known.count, using: &random)).prefix(4)
        }
      }
      var options = TextOptions()
      options.skipsSpecialTokens = round % 3 != 0
      options.includesStopString = round % 5 == 0
      let whole = tokenizer.decode(tokens, skipSpecialTokens: options.skipsSpecialTokens)
      #expect(assemble(tokens, tokenizer, options).text.utf8.elementsEqual(whole.utf8))

      // Stop strings that occur: any piece of the text.
      let scalars = Array(whole.unicodeScalars)
      if scalars.isEmpty { continue }
      for _ in 0..<2 {
        let start = Int.random(in: 0..<scalars.count, using: &random)
        var piece = ""
        piece.unicodeScalars.append(
          contentsOf: scalars[start...].prefix(Int.random(in: 1...6, using: &random)))
        options.stopStrings.append(piece)
      }
      var matcher = StopMatcher(options.stopStrings, includesMatch: options.includesStopString)
      let expected = matcher.append(whole) + matcher.finish()
      let result = assemble(tokens, tokenizer, options)
      #expect(result.text.utf8.elementsEqual(expected.utf8), "\(whole) \(options.stopStrings)")
      #expect(result.end == matcher.match.map(TextEnd.stopString) ?? .length)
      #expect(result.deltas.count { $0.end != nil } == 1)
    }
  }

  @Test("No delta ends inside a character", arguments: models)
  func wholeCharacters(model: String) throws {
    let tokenizer = try tokenizer(model)
    let text = "🙂🙃 日本語"
    let tokens = try tokenizer.encode(text, addSpecialTokens: false)
    if tokenizer.decode(tokens) != text { return }
    let result = assemble(tokens, tokenizer, TextOptions())
    #expect(result.text == text)
    for delta in result.deltas { #expect(!delta.text.contains("\u{FFFD}")) }
  }

  @Test("The token that ends a choice shows no text, unless stop strings are included")
  func endTokens() throws {
    let tokenizer = try tokenizer("demo")
    let tokens = try tokenizer.encode("one two", addSpecialTokens: false)
    let last = try #require(tokens.last)
    var stop = StopConditions(maxTokens: 9)
    stop.stopTokens = [last]
    var options = TextOptions()
    options.setEndTokens(stop)
    let cut = tokenizer.decode(tokens.dropLast())
    #expect(assemble(tokens, tokenizer, options, reason: .stopToken(last)).text == cut)
    #expect(assemble(tokens, tokenizer, options, reason: .stopToken(last)).end == .stopToken(last))
    options.includesStopString = true
    #expect(assemble(tokens, tokenizer, options, reason: .stopToken(last)).text == "one two")
    stop.endOfTextTokens = [last]
    stop.stopTokens = []
    stop.ignoreEndOfText = true
    options.includesStopString = false
    options.setEndTokens(stop)
    #expect(assemble(tokens, tokenizer, options).text == "one two")
  }

  @Test("Stop strings within the first min_tokens tokens are passed over")
  func minTokens() throws {
    let tokenizer = try tokenizer("demo")
    let tokens = try tokenizer.encode("stop and stop again", addSpecialTokens: false)
    var options = TextOptions()
    options.stopStrings = ["stop"]
    #expect(assemble(tokens, tokenizer, options).text == "")
    options.minTokens = 1 + (try tokenizer.encode("stop", addSpecialTokens: false).count)
    #expect(assemble(tokens, tokenizer, options).text == "stop and ")
    options.minTokens = tokens.count
    #expect(assemble(tokens, tokenizer, options).text == "stop and stop again")
  }

  @Test("After its end a choice gives nothing more")
  func afterEnd() throws {
    let tokenizer = try tokenizer("demo")
    var options = TextOptions()
    options.stopStrings = ["b"]
    var assembler = TextAssembler(tokenizer, options)
    var deltas: [TextDelta] = []
    for token in try tokenizer.encode("abc", addSpecialTokens: false) {
      deltas.append(assembler.append(token))
    }
    #expect(assembler.end == .stopString("b"))
    #expect(deltas.map(\.text).joined() == "a")
    #expect(assembler.append(300) == TextDelta())
    #expect(assembler.finish(.aborted) == TextDelta())
    #expect(assembler.end == .stopString("b"))
  }

  @Test("Log-probabilities carry strings, bytes and offsets that count characters")
  func logprobStrings() throws {
    let tokenizer = try tokenizer("demo")
    let tokens = try tokenizer.encode("été 🙂 ok", addSpecialTokens: false)
    var options = TextOptions()
    options.initialOffset = 100
    var assembler = TextAssembler(tokenizer, options)
    var offset = 100
    var bytes: [UInt8] = []
    var text = ""
    for token in tokens {
      let entry = TokenLogprobs.Entry(token: token, logprob: -1, rank: 1)
      let delta = assembler.append(token, logprobs: TokenLogprobs(chosen: entry, top: [entry]))
      let found = try #require(delta.logprobs)
      #expect(found.offset == offset)
      #expect(found.top == [found.chosen] && found.chosen.bytes == tokenizer.bytes(of: token))
      bytes += found.chosen.bytes
      offset += delta.text.unicodeScalars.count
      text += delta.text
    }
    #expect(String(decoding: bytes, as: UTF8.self) == "été 🙂 ok")
    #expect(text + assembler.finish(.length).text == "été 🙂 ok")
    #expect(AssembledToken.Entry.text(of: Array("né".utf8)) == "né")
    #expect(AssembledToken.Entry.text(of: [0xE2, 0x80, 0x0A]) == "bytes:\\xe2\\x80\\x0a")
  }

  @Test("A prompt as text has its tokens' places")
  func promptText() throws {
    let tokenizer = try tokenizer("demo")
    let tokens = try tokenizer.encode("Été at last")
    let entry = TokenLogprobs.Entry(token: tokens[1], logprob: -2, rank: 3)
    let logprobs: [TokenLogprobs?] = [nil, TokenLogprobs(chosen: entry, top: [])]
    let prompt = PromptText(tokens, logprobs: logprobs, tokenizer: tokenizer, skipsSpecialTokens: true)
    #expect(prompt.text == "Été at last")
    #expect(prompt.tokens.map(\.token) == tokens)
    #expect(prompt.tokens[0].logprobs == nil && prompt.tokens[0].offset == 0)
    #expect(prompt.tokens[1].logprobs?.chosen.rank == 3)
    let scalars = Array(prompt.text.unicodeScalars)
    let last = try #require(prompt.tokens.last)
    #expect(String(String.UnicodeScalarView(scalars[last.offset...])) == last.text)
  }
}

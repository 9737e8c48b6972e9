import Testing

@testable import gpuinfer

@Suite("Command lines")
struct ArgumentTests {
  static let command = CommandSpecification(
    name: "sample", summary: "A command for these tests.",
    positionals: [.model, .init(name: "OTHER", isRequired: false, help: "")],
    options: [
      .flag("--json", "JSON."),
      .value("--output", "FILE", aliases: ["-o"], "Output."),
      .value("--count", "N", default: "4", "A number."),
      .repeated("--api-key", "KEY", "Keys."),
    ])

  private func parse(_ arguments: String...) throws(UsageError) -> ParsedArguments {
    try ParsedArguments(arguments, for: Self.command)
  }

  @Test("options and positionals mix in any order")
  func mixed() throws {
    let parsed = try parse("model", "--json", "-o", "a.txt", "other")
    #expect(parsed.positionals == ["model", "other"])
    #expect(parsed.has("--json"))
    #expect(parsed.string("--output") == "a.txt")
  }

  @Test("a value follows in the next argument or after an equals sign, and may look like an option there")
  func values() throws {
    #expect(try parse("--output=--x").string("--output") == "--x")
    #expect(try parse("--output=").string("--output") == "")
    #expect(try parse("--count", "-3").string("--count") == "-3")
  }

  @Test("the last value wins, and repeated options collect")
  func repeats() throws {
    let parsed = try parse("--count", "1", "--api-key", "a", "--count=2", "--api-key=b")
    #expect(parsed.string("--count") == "2")
    #expect(parsed.strings("--api-key") == ["a", "b"])
  }

  @Test("two dashes end the options; one dash is a positional")
  func dashes() throws {
    #expect(try parse("--", "--json", "-").positionals == ["--json", "-"])
    #expect(try !parse("--", "--json").has("--json"))
    #expect(try parse("-").positionals == ["-"])
  }

  @Test(
    "each mistake has its own error",
    arguments: [
      (["--jsn"], UsageError.unknownOption("--jsn", command: "sample", closest: "--json")),
      (["--zzzzzzzz"], .unknownOption("--zzzzzzzz", command: "sample", closest: nil)),
      (["--output"], .missingValue(option: "--output", placeholder: "FILE")),
      (["--json=1"], .unexpectedValue(option: "--json", value: "1")),
      (["a", "b", "c"], .unexpectedArgument("c", command: "sample")),
    ])
  func mistakes(arguments: [String], expected: UsageError) {
    #expect(throws: expected) { try ParsedArguments(arguments, for: Self.command) }
  }

  @Test(
    "numbers are checked against their range", arguments: ["", "x", "1.5", "0", "11", "99999999999999999999"])
  func badIntegers(text: String) throws {
    let parsed = try parse("--count=" + text)
    #expect(throws: UsageError.self) { try parsed.integer("--count", in: 1...10) }
  }

  @Test("numbers must be finite", arguments: ["nan", "inf", "-0.1", "2.1", "1e999"])
  func badNumbers(text: String) throws {
    let parsed = try parse("--count=" + text)
    #expect(throws: UsageError.self) { try parsed.number("--count", in: 0...2) }
  }

  @Test(
    "sizes take binary suffixes",
    arguments: [("1024", 1024), ("1k", 1024), ("2MiB", 2 << 20), ("1.5G", 3 << 29), ("512M", 512 << 20)])
  func sizes(text: String, bytes: Int) throws {
    #expect(try parse("--count", text).byteCount("--count") == bytes)
  }

  @Test(
    "sizes that mean nothing are refused",
    arguments: ["", "-1", "0", "1T", "G", "1e3", "1.2.3M", "99999999999G"])
  func badSizes(text: String) throws {
    let parsed = try parse("--count=" + text)
    #expect(throws: UsageError.self) { try parsed.byteCount("--count") }
  }

  @Test("help names every option with its default")
  func help() {
    let text = Self.command.helpText
    for option in Self.command.options { #expect(text.contains(option.name)) }
    #expect(text.contains("(default: 4)"))
    #expect(text.contains("Usage: gpuinfer sample [MODEL] [OTHER] [options]"))
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 101 })
  }

  @Test("every command's own specification is sound", arguments: Main.commands.map { $0.specification.name })
  func specifications(name: String) throws {
    let specification = try #require(Main.commands.first { $0.specification.name == name }?.specification)
    let spellings = specification.options.flatMap(\.spellings)
    #expect(Set(spellings).count == spellings.count, "two options share a spelling")
    #expect(spellings.allSatisfy { $0.hasPrefix("-") })
    #expect(!specification.summary.isEmpty)
  }
}

import Glibc
import JSON
import TestSupport
import Tokenizers

@testable import Generation
@testable import Server

/// The places a test case runs in: the router alone, or a server on a loopback socket.
enum World: String, CaseIterable, Sendable, CustomStringConvertible {
  case router, socket

  var description: String { rawValue }
}

/// An API over a fake engine, and ways to ask it.
final class TestAPI {
  struct Answer {
    var status: Int
    var headers: HTTPHeaders
    var text: String
    var json: JSONValue { (try? JSONValue.parse(text)) ?? .null }

    var errorMessage: String { json["error"]?["message"]?.string ?? "" }
  }
  let api: OpenAIServer
  let service: FakeService
  let model: ServedModel
  private let server: MicrohttpdServer?

  /// The demo model's tokenizer, read once.
  static func demoTokenizer() throws -> Tokenizer { try tokenizer.get() }

  private static let tokenizer = Result { try Tokenizer.load(directory: Fixtures.path("demo")) }

  init(
    _ world: World = .router, options: ServerOptions = .permissive,
    defaults: GenerationDefaults = GenerationDefaults(), maxModelLength: Int = 512,
    changeHTTP: (inout HTTPServerOptions) -> Void = { _ in }, template: PromptTemplate? = .plain,
    state: ServerState? = nil, adapters: AdapterNames = AdapterNames(),
    script: @escaping FakeService.Script = FakeService.generate
  ) throws {
    let tokenizer = try Self.demoTokenizer()
    var defaults = defaults
    defaults.endOfTextTokens = [1, 4]
    service = FakeService(vocabularySize: tokenizer.vocabularySize, maxModelLength: maxModelLength, script)
    var model = ServedModel(
      names: ["demo", "alias/of-demo"], root: "Fixtures/demo", tokenizer: tokenizer, template: template,
      compileTemplate: { source throws(APIError) in
        PromptTemplate(takesContentParts: false) { _ throws(APIError) in source }
      }, generationDefaults: defaults, maxModelLength: maxModelLength,
      created: 1_700_000_000,
      service: service)
    model.adapters = adapters
    self.model = model
    api = OpenAIServer(model, options: options, state: state)
    guard world == .socket else {
      server = nil
      return
    }
    var http = HTTPServerOptions.timeless
    changeHTTP(&http)
    let api = api
    server = try MicrohttpdServer(options: http, refusal: api.refuse) { api.handle($0) }
  }

  deinit { server?.stop() }

  var port: Int { server?.address.port ?? 0 }

  func connect() throws -> RawClient { try RawClient(port: port) }

  func ask(
    _ method: String, _ path: String, body: [UInt8] = [], headers: [(String, String)] = [],
    contentType: String? = "application/json"
  ) throws -> Answer {
    if server != nil {
      let client = try connect()
      client.send(method, path, headers: headers, body: body, contentType: contentType)
      let response = try client.response(toHead: method == "HEAD")
      return Answer(status: response.status, headers: response.headers, text: response.text)
    }
    var fields = HTTPHeaders()
    for (name, value) in headers { fields.append(name, value) }
    if let contentType { fields.append("Content-Type", contentType) }
    let response = api.handle(HTTPRequest(method: method, path: path, headers: fields, body: body))
    let bytes = response.collectBody() ?? []
    return Answer(
      status: response.status, headers: response.headers, text: String(decoding: bytes, as: UTF8.self))
  }

  func post(_ path: String, _ body: JSONValue, headers: [(String, String)] = []) throws -> Answer {
    try ask("POST", path, body: Array(body.serialized().utf8), headers: headers)
  }

  func get(_ path: String, headers: [(String, String)] = []) throws -> Answer {
    try ask("GET", path, headers: headers, contentType: nil)
  }

  /// The data of each server-sent event; comments are left out.
  static func events(_ text: String) -> [String] {
    text.components("\n\n").filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
  }
}

extension String {
  func components(_ separator: String) -> [String] {
    var result: [String] = []
    var rest = Substring(self)
    while let range = rest.firstRange(of: separator) {
      result.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    if !rest.isEmpty { result.append(String(rest)) }
    return result
  }
}

extension HTTPServerOptions {
  /// On any free port; no client is ever too slow, however slow the machine.
  static var timeless: HTTPServerOptions {
    var options = HTTPServerOptions()
    options.port = 0
    options.clock = MonotonicClock(now: { 0 })
    return options
  }
}

extension ServerOptions {
  /// Every route is open.
  static var permissive: ServerOptions {
    var options = ServerOptions()
    options.allowsAdapterUpdates = true
    return options
  }
}

extension PromptTemplate {
  /// `role: content` lines, so that a test can read the prompt's parts back.
  static let plain = PromptTemplate(takesContentParts: false) { input throws(APIError) in
    var lines: [String] = []
    for message in input.messages.array ?? [] {
      lines.append("\(message["role"]?.string ?? "?"): \(message["content"]?.string ?? "null")")
    }
    if let tools = input.tools { lines.append("tools: \(tools.serialized())") }
    for (name, value) in input.variables { lines.append("\(name)=\(value.serialized())") }
    if input.addsGenerationPrompt { lines.append("assistant:") }
    return lines.joined(separator: "\n")
  }
}

extension JSONValue {
  /// The whole numbers of a list.
  var ints: [Int]? { array.map { $0.compactMap { $0.int } } }
  var strings: [String]? { array.map { $0.compactMap { $0.string } } }
}

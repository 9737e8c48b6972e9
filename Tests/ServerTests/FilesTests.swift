import JSON
import TestSupport
import Testing

@testable import Generation
@testable import Server

internal import Foundation

@Suite("Files")
struct FilesTests {
  /// A form as clients send it.
  static func form(
    _ parts: [(name: String, filename: String?, content: [UInt8])], boundary: String = "xYz"
  ) -> [UInt8] {
    var body: [UInt8] = []
    for part in parts {
      body += Array("--\(boundary)\r\nContent-Disposition: form-data; name=\"\(part.name)\"".utf8)
      if let filename = part.filename {
        body += Array("; filename=\"\(filename)\"\r\nContent-Type: application/octet-stream".utf8)
      }
      body += Array("\r\n\r\n".utf8) + part.content + Array("\r\n".utf8)
    }
    return body + Array("--\(boundary)--\r\n".utf8)
  }

  static func upload(
    _ api: TestAPI, _ content: [UInt8], name: String = "in.jsonl", purpose: String = "batch"
  ) throws -> TestAPI.Answer {
    try api.ask(
      "POST", "/v1/files",
      body: form([("purpose", nil, Array(purpose.utf8)), ("file", name, content)]),
      contentType: "multipart/form-data; boundary=xYz")
  }

  @Test("A file is stored, listed, read back, kept across restarts, and removed", arguments: World.allCases)
  func life(_ world: World) throws {
    let temporary = try TemporaryState()
    var random = SeededGenerator(seed: 3)
    // Of every size around the pieces it is sent in, and with what looks like the form's own lines.
    let contents =
      [0, 1, 65_535, 65_536, 200_000].map { count in
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      } + [Array("\r\n--xY\r\n\r\n\r--xYz\n--xYz is not at a line's start\r\n".utf8)]
    var ids: [String] = []
    do {
      let api = try TestAPI(world, state: temporary.state)
      for content in contents {
        let file = try Self.upload(api, content).json
        #expect(file["object"] == "file" && file["purpose"] == "batch" && file["status"] == "processed")
        #expect(file["bytes"]?.int == content.count)
        #expect(file["filename"] == "in.jsonl")
        ids.append(try #require(file["id"]?.string))
      }
    }
    try temporary.reopen()
    let api = try TestAPI(world, state: temporary.state)
    for (id, content) in zip(ids, contents) {
      #expect(try api.get("/v1/files/\(id)").json["bytes"]?.int == content.count)
      let answer = api.api.handle(HTTPRequest(method: "GET", path: "/v1/files/\(id)/content"))
      #expect(answer.collectBody() == content)
      if world == .socket {
        #expect(try api.get("/v1/files/\(id)/content").text == String(decoding: content, as: UTF8.self))
      }
    }
    #expect(
      Set(try api.get("/v1/files").json["data"]?.array?.compactMap { $0["id"]?.string } ?? []) == Set(ids))
    let gone = try api.ask("DELETE", "/v1/files/\(ids[0])")
    #expect(gone.json == ["id": .string(ids[0]), "object": "file", "deleted": true])
    for path in [
      "/v1/files/\(ids[0])", "/v1/files/\(ids[0])/content", "/v1/files/file-nothing", "/v1/files/..%2Flock",
    ] {
      #expect(try api.get(path).status == 404)
    }
    #expect(try api.ask("DELETE", "/v1/files/\(ids[0])").status == 404)
    let names = try FileManager.default.contentsOfDirectory(atPath: temporary.directory + "/files")
    #expect(names.count == 2 * (ids.count - 1), "\(names)")
  }

  @Test("Lists come in pages, and by purpose and age")
  func pages() throws {
    let temporary = try TemporaryState()
    let api = try TestAPI(state: temporary.state)
    let ids = try (0..<7).map { _ in try temporary.addInput("x") }
    func list(_ query: [(String, String)]) -> JSONValue {
      let response = api.api.handle(
        HTTPRequest(method: "GET", path: "/v1/files", query: query.map { .init($0.0, $0.1) }))
      return (try? JSONValue.parse(response.collectBody() ?? [])) ?? .null
    }
    var seen: [String] = []
    var after: String?
    while true {
      let page = list([("limit", "3"), ("order", "asc")] + (after.map { [("after", $0)] } ?? []))
      let found = page["data"]?.array?.compactMap { $0["id"]?.string } ?? []
      seen += found
      #expect(page["first_id"]?.string == found.first && page["last_id"]?.string == found.last)
      after = found.last
      if page["has_more"] != true { break }
    }
    #expect(seen.count == 7 && Set(seen) == Set(ids))
    #expect(list([])["data"]?.array?.compactMap { $0["id"]?.string } == seen.reversed())
    #expect(list([("purpose", "batch_output")])["data"] == [])
    #expect(list([("limit", "0")])["error"]?["param"] == "limit")
    #expect(list([("limit", "x")])["error"]?["code"] == 400)
    #expect(list([("order", "up")])["error"]?["param"] == "order")
    #expect(list([("after", "file-x")])["error"]?["code"] == 404)
  }

  @Test("What is no upload is refused, and nothing of it stays")
  func refused() throws {
    let temporary = try TemporaryState()
    let api = try TestAPI(state: temporary.state)
    let good = Self.form([("purpose", nil, Array("batch".utf8)), ("file", "a", [1, 2])])
    func ask(_ body: [UInt8], _ type: String? = "multipart/form-data; boundary=xYz") throws -> TestAPI.Answer
    {
      try api.ask("POST", "/v1/files", body: body, contentType: type)
    }
    #expect(try ask(good).status == 200)
    #expect(try ask(good, "multipart/form-data; boundary=\"xYz\"").status == 200)
    #expect(try ask(Array("preamble\r\n".utf8) + good).status == 200)
    #expect(try ask(good, "multipart/form-data; boundary=other").status == 400)
    for type in ["application/json", "multipart/form-data", "multipart/form-data; boundary=", nil] {
      #expect(try ask(good, type).status == 400)
    }
    // Cut anywhere, it is refused.
    for length in 0..<good.count - 4 { #expect(try ask(Array(good[..<length])).status == 400, "\(length)") }
    let many = Self.form((0..<17).map { ("part\($0)", nil, []) })
    #expect(try ask(many).errorMessage.contains("16 parts"))
    #expect(try ask(Self.form([("file", "a", [1])])).errorMessage.contains("required"))
    #expect(try ask(Self.form([("purpose", nil, Array("batch".utf8))])).errorMessage.contains("required"))
    #expect(try Self.upload(api, [1], purpose: "fine-tune").json["error"]?["param"] == "purpose")
    #expect(try Self.upload(api, [1], name: "../../etc/passwd").json["filename"] == "../../etc/passwd")
    let names = try FileManager.default.contentsOfDirectory(atPath: temporary.directory + "/files")
    #expect(names.count == 8 && names.allSatisfy { $0.hasPrefix("file-") }, "\(names)")
    let off = try TestAPI()
    #expect(try Self.upload(off, [1]).errorMessage.contains("--state-dir"))
  }

  @Test("A directory has one server; what was half written is removed, what is damaged is named")
  func restart() throws {
    let temporary = try TemporaryState()
    #expect(throws: StateError.inUse(directory: temporary.directory)) {
      _ = try ServerState(directory: temporary.directory)
    }
    let id = try temporary.addInput("kept")
    let folder = temporary.directory + "/files/"
    let orphan = StateIdentifier.newFile()
    for name in [orphan + ".data", orphan + ".json.tmp", orphan + ".data.tmp"] {
      try Data("half".utf8).write(to: URL(fileURLWithPath: folder + name))
    }
    try temporary.reopen()
    #expect(temporary.state.files.all.map(\.id) == [id])
    #expect(Set(try FileManager.default.contentsOfDirectory(atPath: folder)) == [id + ".data", id + ".json"])
    try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + orphan + ".json"))
    #expect(throws: StateError.self) { try temporary.reopen() }
  }
}

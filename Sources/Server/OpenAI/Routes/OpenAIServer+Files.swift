internal import JSON

/// The Files API, as far as batches need it.
extension OpenAIServer {
  func serverState(_ route: Route) throws(APIError) -> ServerState {
    guard let state else {
      throw APIError(
        404, .pathNotFound,
        "\(route.template) is turned off. Start the server with --state-dir DIR to keep files and batches there."
      )
    }
    return state
  }

  func answerFiles(
    _ request: HTTPRequest, _ route: Route, _ id: String, _ scope: RequestScope
  ) throws(APIError) -> HTTPResponse {
    let state = try serverState(route)
    if route == .files {
      return request.method == "POST" ? try upload(request, state) : try listFiles(request, state)
    }
    guard let file = state.files[id] else {
      throw APIError(404, .notFound, "No such File object: \(id.prefix(100))", parameter: "file_id")
    }
    if route == .fileContent {
      let body: FileBody
      do throws(StateError) { body = try FileBody(path: state.files.path(of: id)) } catch {
        throw APIError(error)
      }
      scope.end(status: 200)
      return HTTPResponse(headers: ["Content-Type": "application/octet-stream"], stream: body)
    }
    guard request.method == "DELETE" else { return .json(file.json) }
    if let user = state.batches.all.first(where: { !$0.status.isOver && $0.inputFile == id }) {
      throw APIError(
        409, .badRequest, "\(id) is the input of \(user.id), which is not over; cancel it first.",
        parameter: "file_id")
    }
    do throws(StateError) { _ = try state.files.remove(id) } catch { throw APIError(error) }
    return .json(["id": .string(id), "object": "file", "deleted": true])
  }

  private func upload(_ request: HTTPRequest, _ state: ServerState) throws(APIError) -> HTTPResponse {
    let form = try MultipartForm(request)
    guard let purpose = form["purpose"] else {
      throw .shape("this field is required", path: "body.purpose")
    }
    let text = String(decoding: request.body[purpose.content], as: UTF8.self)
    guard text == "batch" else {
      throw .invalid("purpose must be 'batch', got '\(text.prefix(40))'.", "purpose")
    }
    guard let file = form["file"] else { throw .shape("this field is required", path: "body.file") }
    guard state.files.all.count < FileStore.maximumFiles else {
      throw .invalid("There are \(FileStore.maximumFiles) files already; delete some first.", "file")
    }
    let name = String((file.filename ?? "upload.jsonl").prefix(255))
    do throws(StateError) {
      let record = try state.files.create(id: StateIdentifier.newFile(), filename: name, purpose: "batch") {
        (target) throws(StateError) in try target.append(Array(request.body[file.content]))
      }
      return .json(record.json)
    } catch { throw APIError(error) }
  }

  private func listFiles(_ request: HTTPRequest, _ state: ServerState) throws(APIError) -> HTTPResponse {
    var files = state.files.all
    if let purpose = request.query("purpose") { files = files.filter { $0.purpose == purpose } }
    switch request.query("order") {
    case nil, "desc": break
    case "asc": files.reverse()
    case let order?: throw .invalid("order must be asc or desc, got '\(order.prefix(40))'.", "order")
    }
    let page = try Page(request, of: files.map(\.id), limit: 1...10_000, default: 10_000)
    return .json(page.json(files[page.range].map(\.json)))
  }
}

/// A part of a list: behind the element `after`, up to `limit`.
struct Page {
  let range: Range<Int>
  private let count: Int
  private let ids: [String]

  init(
    _ request: HTTPRequest, of ids: [String], limit: ClosedRange<Int>, default standard: Int
  ) throws(APIError) {
    var count = standard
    if let text = request.query("limit") {
      guard let asked = Int(text), limit.contains(asked) else {
        throw .invalid(
          "limit must be in [\(limit.lowerBound), \(limit.upperBound)], got '\(text.prefix(40))'.", "limit")
      }
      count = asked
    }
    var start = 0
    if let after = request.query("after"), !after.isEmpty {
      guard let place = ids.firstIndex(of: after) else {
        throw APIError(
          404, .notFound, "There is no '\(after.prefix(100))' to begin behind.", parameter: "after")
      }
      start = place + 1
    }
    range = start..<min(start + count, ids.count)
    self.count = ids.count
    self.ids = Array(ids[range])
  }

  func json(_ data: [JSONValue]) -> JSONValue {
    [
      "object": "list", "data": .array(data), "first_id": ids.first.map { .string($0) } ?? .null,
      "last_id": ids.last.map { .string($0) } ?? .null, "has_more": .bool(range.upperBound < count),
    ]
  }
}

extension HTTPRequest {
  func query(_ name: String) -> String? { query.first { $0.name == name }?.value }
}

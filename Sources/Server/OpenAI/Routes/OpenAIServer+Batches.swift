internal import JSON

/// The Batches API.
extension OpenAIServer {
  static let maximumMetadata = 16

  func answerBatches(_ request: HTTPRequest, _ route: Route, _ id: String) throws(APIError) -> HTTPResponse {
    let state = try serverState(route)
    if route == .batches {
      return request.method == "POST" ? try create(request, state) : try listBatches(request, state)
    }
    guard let batch = state.batches[id] else {
      throw APIError(404, .notFound, "No batch found with id '\(id.prefix(100))'.", parameter: "batch_id")
    }
    guard route == .batchCancel else { return .json(batch.json) }
    guard let queue = batchQueue else { throw .draining }
    return .json(try queue.cancel(id).json)
  }

  private func create(_ request: HTTPRequest, _ state: ServerState) throws(APIError) -> HTTPResponse {
    _ = try servingModel()
    let body = try RequestBody.object(request)
    try RequestSchemas.batch.validate(body)
    let metadata = body["metadata"] ?? .null
    guard metadata.object?.count ?? 0 <= Self.maximumMetadata else {
      throw .invalid("metadata may have at most \(Self.maximumMetadata) pairs.", "metadata")
    }
    for (key, value) in metadata.object ?? [:] {
      guard key.count <= 64, value.string?.count ?? 0 <= 512 else {
        throw .invalid(
          "metadata keys may have 64 characters and values 512; see '\(key.prefix(64))'.", "metadata")
      }
    }
    let input = body["input_file_id"]?.string ?? ""
    guard let file = state.files[input] else {
      throw APIError(404, .notFound, "No such File object: \(input.prefix(100))", parameter: "input_file_id")
    }
    guard file.purpose == "batch" else {
      throw .invalid("The file was uploaded for '\(file.purpose)', not for 'batch'.", "input_file_id")
    }
    let record = try state.batches.add(
      endpoint: body["endpoint"]?.string ?? "", inputFile: input, metadata: metadata)
    return .json(record.json)
  }

  private func listBatches(_ request: HTTPRequest, _ state: ServerState) throws(APIError) -> HTTPResponse {
    let batches = state.batches.all
    let page = try Page(request, of: batches.map(\.id), limit: 1...100, default: 20)
    return .json(page.json(batches[page.range].map(\.json)))
  }
}

internal import Generation
internal import JSON

/// A request for embeddings in the engine: one stream an input.
///
/// Used by one thread at a time.
final class EmbeddingRun {
  let streams: [any GenerationStream]
  private(set) var vectors: [[Float]]
  private(set) var cachedTokens = 0

  /// Submits every input, or none: when one is refused, those before it are cancelled.
  init(_ request: EmbeddingRequest, id: String, pooling: EmbeddingPooling, model: ServedModel)
    throws(APIError)
  {
    var streams: [any GenerationStream] = []
    for index in request.inputs.indices {
      do throws(SubmissionError) {
        streams.append(try model.service.submit(request.request(index, id: id, pooling: pooling)))
      } catch {
        for stream in streams { stream.cancel() }
        throw APIError(error)
      }
    }
    self.streams = streams
    vectors = Array(repeating: [], count: streams.count)
  }

  /// Waits for all of them.
  /// - Parameter presenceMilliseconds: how often to look whether the client is still there.
  func wait(_ client: any HTTPClient, presenceMilliseconds: Int) throws(APIError) {
    do throws(APIError) {
      for (index, stream) in streams.enumerated() {
        try read(stream, index, client, presenceMilliseconds)
      }
    } catch {
      for stream in streams { stream.cancel() }
      throw error
    }
  }

  private func read(
    _ stream: any GenerationStream, _ index: Int, _ client: any HTTPClient, _ patience: Int
  ) throws(APIError) {
    while let events = stream.next(timeoutMilliseconds: patience) {
      if events.isEmpty, client.presence != .present { throw .clientLeft }
      for event in events {
        switch event {
        case .prompt(let cached, _): cachedTokens += cached
        case .embedding(let vector): vectors[index] = vector
        case .finished(_, .failed(let message)): throw .generationFailed(message)
        case .finished(_, .aborted):
          throw APIError(503, .unavailable, "The request was ended before its embedding was computed.")
        case .finished, .token, .speculation: break
        }
      }
    }
    if vectors[index].isEmpty { throw .generationFailed("the model of this engine gives no states") }
  }
}

/// Vectors as clients read them.
enum EmbeddingFormat {
  /// To length 1; a vector of zeros stays.
  static func normalized(_ vector: [Float]) -> [Float] {
    let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    return length > 0 ? vector.map { Float(Double($0) / length) } : vector
  }

  /// The bytes of the floats, little-endian.
  static func base64(_ vector: [Float]) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * vector.count)
    for value in vector {
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(shift)))
      }
    }
    return base64(bytes)
  }

  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// RFC 4648, with padding.
  static func base64(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      var bits: UInt32 = 0
      for place in 0..<3 { bits = bits << 8 | (place < group.count ? UInt32(group[start + place]) : 0) }
      for place in 0..<4 {
        text.append(
          place <= group.count ? alphabet[Int(bits >> UInt32(18 - 6 * place)) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}

extension OpenAIServer {
  /// /v1/embeddings. The caller counts the request among the active ones.
  func embed(_ body: JSONObject, client: any HTTPClient, id: String?) throws(APIError) -> [UInt8] {
    let model = try servingModel()
    let request = try EmbeddingRequest(body, model: model, options: options)
    let id = "embd-" + (id ?? request.requestID ?? Self.randomHex())
    let run = try EmbeddingRun(request, id: id, pooling: options.pooling, model: model)
    let number = active.register(run.streams)
    defer { active.forget(number) }
    try run.wait(client, presenceMilliseconds: options.presenceIntervalMilliseconds)
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("id", id)
    writer.member("object", "list")
    writer.member("created", Self.now)
    writer.member("model", request.adapter?.name ?? model.name)
    writer.key("data")
    writer.beginArray()
    for (index, vector) in run.vectors.enumerated() {
      let vector = request.isNormalized ? EmbeddingFormat.normalized(vector) : vector
      writer.beginObject()
      writer.member("index", index)
      writer.member("object", "embedding")
      writer.key("embedding")
      if request.isBase64 {
        writer.string(EmbeddingFormat.base64(vector))
      } else {
        writer.beginArray()
        for value in vector { writer.float(value) }
        writer.endArray()
      }
      writer.endObject()
    }
    writer.endArray()
    Usage(promptTokens: request.promptTokens, completionTokens: 0, cachedTokens: run.cachedTokens)
      .write(to: &writer)
    writer.endObject()
    return writer.bytes
  }
}

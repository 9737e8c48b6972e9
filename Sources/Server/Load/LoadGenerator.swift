internal import Generation
internal import Glibc
internal import JSON
internal import Synchronization

/// Drives a server with the OpenAI completions API, ours or another's, over plain sockets.
///
/// One thread a client: the machine under test is usually this one, so the client has to stay cheap.
package final class LoadGenerator: Sendable {
  private struct Results {
    var samples: [RequestSample] = []
    var failures: [String: Int] = [:]
  }

  private let plan: LoadPlan
  private let started = Atomic<Int>(0)
  private let results = Mutex(Results())

  private init(_ plan: LoadPlan) { self.plan = plan }

  /// Returns when all requests have ended.
  package static func run(_ plan: LoadPlan) -> LoadReport {
    let generator = LoadGenerator(plan)
    let begin = MonotonicClock.seconds
    generator.startClients(plan.clients)
    let results = generator.results.withLock { $0 }
    return LoadReport(
      seconds: MonotonicClock.seconds - begin, samples: results.samples, failures: results.failures)
  }

  /// Each level of the recursion owns one thread, so that all are joined whatever happens.
  private func startClients(_ count: Int) {
    guard count > 0 else { return }
    guard let thread = Thread(stackBytes: 256 << 10, { self.client() }) else {
      return results.withLock { $0.failures["no thread for a client", default: 0] += 1 }
    }
    startClients(count - 1)
    thread.join()
  }

  private func client() {
    while started.wrappingAdd(1, ordering: .relaxed).oldValue < plan.requests {
      let result = Result { () throws(LoadError) in try request() }
      results.withLock { results in
        switch result {
        case .success(let sample): results.samples.append(sample)
        case .failure(let error): results.failures[error.description, default: 0] += 1
        }
      }
    }
  }

  private func request() throws(LoadError) -> RequestSample {
    let connection = try ClientSocket(host: plan.host, port: plan.port)
    let begin = MonotonicClock.seconds
    try connection.send(head + body)
    var reader = StreamReader()
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    var times: [Double] = []
    while !reader.isDone {
      let count = try connection.receive(into: &buffer)
      if count == 0 { break }
      if reader.consume(buffer[0..<count]) { times.append(MonotonicClock.seconds - begin) }
      if let status = reader.status, status != 200 { throw .status(status) }
    }
    guard reader.isDone, let first = times.first else { throw .endedEarly }
    return RequestSample(
      firstToken: first, total: MonotonicClock.seconds - begin,
      gaps: zip(times.dropFirst(), times).map { $0 - $1 },
      tokens: reader.completionTokens ?? reader.textEvents)
  }

  private var body: [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    if let model = plan.model { writer.member("model", model) }
    writer.member("prompt", plan.prompt)
    writer.member("max_tokens", plan.maxTokens)
    writer.member("temperature", 0.0)
    writer.member("stream", true)
    writer.member("ignore_eos", true)
    writer.key("stream_options")
    writer.beginObject()
    writer.member("include_usage", true)
    writer.endObject()
    writer.endObject()
    return writer.bytes
  }

  private var head: [UInt8] {
    let key = plan.apiKey.map { "Authorization: Bearer \($0)\r\n" } ?? ""
    return Array(
      """
      POST /v1/completions HTTP/1.1\r
      Host: \(plan.host):\(plan.port)\r
      Content-Type: application/json\r
      Content-Length: \(body.count)\r
      Connection: close\r
      \(key)\r

      """.utf8)
  }
}

package enum LoadError: Error, Equatable, CustomStringConvertible {
  case cannotConnect(String)
  case connectionLost(String)
  case status(Int)
  case endedEarly

  package var description: String {
    switch self {
    case .cannotConnect(let reason): "cannot connect: \(reason)"
    case .connectionLost(let reason): "connection lost: \(reason)"
    case .status(let code): "HTTP status \(code)"
    case .endedEarly: "the stream ended without [DONE]"
    }
  }
}

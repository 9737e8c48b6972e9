internal import Generation

/// Counts requests by route. Routes are a fixed set (unknown paths count as `none`), so the label set is bounded.
final class HTTPMetrics: Sendable {
  private struct Key: Hashable, Sendable {
    let handler: String
    let method: String
    let status: String
  }
  private struct Counts: Sendable {
    var requests: [Key: UInt64] = [:]
    var durations: [Key: Histogram] = [:]
  }
  private let counts = Monitor(Counts())

  static let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

  /// - Parameter seconds: until the last byte was produced, for a stream.
  func record(handler: String, method: String, status: Int, seconds: Double) {
    let method =
      ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"].contains(method) ? method : "other"
    let request = Key(handler: handler, method: method, status: "\(status / 100)xx")
    let duration = Key(handler: handler, method: method, status: "")
    counts.withLock {
      $0.requests[request, default: 0] += 1
      $0.durations[duration, default: Histogram(bounds: Self.buckets)].observe(seconds)
    }
  }

  func write(to text: inout PrometheusText) {
    let counts = counts.withLock { $0 }
    text.family("http_requests_total", .counter, "Requests by method, status and handler.")
    for (key, count) in counts.requests.sorted(by: { Self.order($0.key) < Self.order($1.key) }) {
      let labels = [("handler", key.handler), ("method", key.method), ("status", key.status)]
      text.sample("http_requests_total", labels, Double(count))
    }
    text.family(
      "http_request_duration_seconds", .histogram, "Time from a request's arrival to its answer's end.")
    for (key, histogram) in counts.durations.sorted(by: { Self.order($0.key) < Self.order($1.key) }) {
      text.histogram(
        "http_request_duration_seconds", [("handler", key.handler), ("method", key.method)], histogram)
    }
  }

  private static func order(_ key: Key) -> String { "\(key.handler) \(key.method) \(key.status)" }
}

/// A closed load: each client sends its next request when its last one has ended.
package struct LoadPlan: Sendable {
  package var host: String
  package var port: Int
  package var model: String?
  package var clients: Int
  package var requests: Int
  package var prompt: String
  package var maxTokens: Int
  package var apiKey: String?

  package init(
    host: String, port: Int, model: String?, clients: Int, requests: Int, prompt: String, maxTokens: Int,
    apiKey: String?
  ) {
    self.host = host
    self.port = port
    self.model = model
    self.clients = clients
    self.requests = requests
    self.prompt = prompt
    self.maxTokens = maxTokens
    self.apiKey = apiKey
  }
}

/// What one request saw, in seconds from its first byte sent.
package struct RequestSample: Sendable, Equatable {
  package var firstToken: Double
  package var total: Double
  /// Gaps between one event with text and the next.
  package var gaps: [Double]
  package var tokens: Int
}

package struct LoadReport: Sendable {
  package var seconds: Double
  package var samples: [RequestSample]
  /// By what went wrong.
  package var failures: [String: Int]

  package var requestsPerSecond: Double { Double(samples.count) / seconds }
  package var tokensPerSecond: Double { Double(samples.reduce(0) { $0 + $1.tokens }) / seconds }

  /// The value below which `fraction` of the sorted values lie (nearest rank); nil for none.
  package static func quantile(_ values: [Double], _ fraction: Double) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let rank = Int((fraction * Double(sorted.count)).rounded(.up)) - 1
    return sorted[min(max(rank, 0), sorted.count - 1)]
  }
}

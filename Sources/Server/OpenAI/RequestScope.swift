internal import Generation

/// Requests in progress: counted for /load, awaited by a drain, and reachable for a shutdown that cannot wait.
final class ActiveRequests: Sendable {
  private struct State: Sendable {
    var count = 0
    var nextNumber = 0
    var streams: [Int: [any GenerationStream]] = [:]
  }
  private let state = Monitor(State())

  /// Answers of the model that are under way.
  var count: Int { state.withLock { $0.count } }

  func begin() { state.withLock { $0.count += 1 } }

  func end(_ number: Int?) {
    state.update {
      $0.count -= 1
      if let number { $0.streams[number] = nil }
    }
  }

  func register(_ streams: [any GenerationStream]) -> Int {
    state.update {
      $0.nextNumber += 1
      $0.streams[$0.nextNumber] = streams
      return $0.nextNumber
    }
  }

  /// The streams are read out; the request goes on.
  func forget(_ number: Int) { state.withLock { $0.streams[number] = nil } }

  func cancelAll() {
    let all = state.withLock { $0.streams.values.flatMap { $0 } }
    for stream in all { stream.cancel() }
  }

  /// False when the time ran out first.
  func waitUntilNone(timeoutMilliseconds: Int) -> Bool {
    state.wait(timeoutMilliseconds: timeoutMilliseconds, until: { $0.count == 0 }, then: { $0.count == 0 })
  }
}

/// What is counted of one request, from its arrival to the last byte of its answer. Used by one thread.
final class RequestScope {
  private let metrics: HTTPMetrics
  private let active: ActiveRequests
  private let method: String
  private let start = MonotonicClock.seconds
  private var isOpen = true
  private var isGenerating = false
  private var number: Int?
  var handler = "none"

  init(method: String, metrics: HTTPMetrics, active: ActiveRequests) {
    self.method = method
    self.metrics = metrics
    self.active = active
  }

  func beginGenerating() {
    isGenerating = true
    active.begin()
  }

  func register(_ run: GenerationRun) { number = active.register(run.streams) }

  /// Only the first call counts.
  func end(status: Int) {
    guard isOpen else { return }
    isOpen = false
    if isGenerating { active.end(number) }
    metrics.record(handler: handler, method: method, status: status, seconds: MonotonicClock.seconds - start)
  }
}

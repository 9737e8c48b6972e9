internal import Generation
internal import JSON

/// The body of a streamed answer.
final class EventStream: HTTPBodyProducer {
  private let run: GenerationRun
  private var format: EventFormat
  private let client: any HTTPClient
  private let options: ServerOptions
  private let scope: RequestScope
  /// Updates read before the head was sent.
  private var backlog: [AnswerUpdate]
  private var lastWritten = MonotonicClock.milliseconds
  /// When to see after the client, if nothing is written until then.
  private var nextLook: Int64
  private var hasProbed = false

  init(
    _ run: GenerationRun, _ identity: AnswerIdentity, backlog: [AnswerUpdate], client: any HTTPClient,
    options: ServerOptions, scope: RequestScope
  ) {
    self.run = run
    format = EventFormat(run.plan, identity)
    self.backlog = backlog
    self.client = client
    self.options = options
    self.scope = scope
    nextLook = MonotonicClock.milliseconds + Int64(options.presenceIntervalMilliseconds)
  }

  func produce(into writer: consuming HTTPBodyWriter) -> HTTPBodyPiece {
    while true {
      let updates =
        backlog.isEmpty ? run.next(timeoutMilliseconds: options.presenceIntervalMilliseconds) : backlog
      backlog = []
      var failure: String?
      if !updates.isEmpty {
        writer.append { bytes in
          var json = JSONWriter(appendingTo: bytes.takeAll())
          for update in updates where failure == nil { failure = format.write(update, run, to: &json) }
          if let failure {
            EventFormat.writeFailure(.generationFailed(failure), to: &json)
          } else if run.isOver {
            format.writeEnd(run, to: &json)
          }
          bytes = json.bytes
        }
      }
      if failure != nil || run.isOver {
        if failure != nil { run.cancel() }
        scope.end(status: failure == nil ? 200 : 500)
        return writer.end()
      }
      if !writer.isEmpty {
        lastWritten = MonotonicClock.milliseconds
        nextLook = lastWritten + Int64(options.presenceIntervalMilliseconds)
        return writer.flush()
      }
      // Also when there are tokens that show no text: special ones, or what may become a stop string.
      let now = MonotonicClock.milliseconds
      if now < nextLook { continue }
      nextLook = now + Int64(options.presenceIntervalMilliseconds)
      if let silence = fillSilence() {
        switch silence {
        case .comment(let text):
          writer.write(text)
          lastWritten = MonotonicClock.milliseconds
          return writer.flush()
        case .gone:
          abandon()
          return writer.cut()
        }
      }
    }
  }

  private enum Silence {
    case comment(String)
    case gone
  }

  /// What to do while nothing comes.
  private func fillSilence() -> Silence? {
    switch client.presence {
    case .gone: return .gone
    case .finishedSending where !hasProbed:
      // A client that has gone answers this with a reset; one that only finished sending reads on.
      hasProbed = true
      return .comment(": \n\n")
    case .finishedSending, .present: break
    }
    if let interval = options.pingIntervalMilliseconds,
      MonotonicClock.milliseconds - lastWritten >= Int64(interval)
    {
      return .comment(": ping\n\n")
    }
    return nil
  }

  func abandon() {
    run.cancel()
    scope.end(status: APIError.clientClosedStatus)
  }
}

extension [UInt8] {
  /// The contents, leaving the array empty: the buffer moves without a copy.
  fileprivate mutating func takeAll() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &self)
    return taken
  }
}

extension APIError {
  static let clientClosedStatus = 499

  static func generationFailed(_ message: String) -> APIError {
    APIError(500, .internalFailure, "Generation failed: \(message)")
  }
}

internal import Generation
internal import JSON
internal import Synchronization

/// Runs a file of OpenAI batch lines, many at a time.
///
/// The output has one line a request, in the order they finish, and is all the state there is: a run that was killed at
/// any moment, started again, does what is missing and nothing twice.
package final class BatchRunner: Sendable {
  private let server: OpenAIServer
  private let input: String
  private let options: BatchOptions
  private let output: BatchOutput
  private let progress: (@Sendable (BatchReport, BatchPace) -> Void)?
  private let state: Monitor<State>
  private let isCancelled = Atomic(false)

  private struct State: Sendable {
    let reader: LineReader
    /// Lines read so far; the next line's number, from 0.
    var number = 0
    /// Requests of this run, for finding repeated ids.
    var seen: Set<String> = []
    var report = BatchReport()
    var pace: BatchPace
    var failure: BatchError?
  }

  /// - Parameter progress: called after each line, on the thread that finished it.
  package init(
    _ model: ServedModel, input: String, output: String, options: BatchOptions = BatchOptions(),
    serverOptions: ServerOptions = ServerOptions(),
    progress: (@Sendable (BatchReport, BatchPace) -> Void)? = nil
  ) throws(BatchError) {
    guard options.shard.count >= 1, (0..<options.shard.count).contains(options.shard.index) else {
      throw .invalidShard(options.shard)
    }
    server = OpenAIServer(model, options: serverOptions)
    self.input = input
    self.options = options
    self.progress = progress
    // The input first: a wrong path must not leave an empty output behind.
    let reader = try LineReader(path: input, maximumLineBytes: options.maximumLineBytes)
    self.output = try BatchOutput(path: output)
    state = Monitor(State(reader: reader, pace: BatchPace(fileBytes: reader.byteCount)))
  }

  /// Stops as soon as it can; lines that were not finished are left for the next run. From any thread, also before
  /// `run`. Not for signal handlers.
  package func cancel() {
    isCancelled.store(true, ordering: .sequentiallyConsistent)
    server.cancelAll()
  }

  /// Blocks until the input is done, the run is cancelled, or it cannot go on. To be called once.
  package func run() throws(BatchError) -> BatchReport {
    defer { output.release() }
    let extra = max(0, options.concurrency - 1)
    let remaining = Monitor(0)
    for _ in 0..<extra {
      remaining.update { $0 += 1 }
      let thread = Thread {
        self.work()
        remaining.update { $0 -= 1 }
      }
      guard let thread else {
        remaining.update { $0 -= 1 }
        break
      }
      thread.detach()
    }
    work()
    remaining.wait(timeoutMilliseconds: nil, until: { $0 == 0 }, then: { _ in })
    return try state.attempt { state throws(BatchError) in
      if let failure = state.failure { throw failure }
      state.report.isCancelled = isStopping
      return state.report
    }
  }

  private var isStopping: Bool {
    if isCancelled.load(ordering: .sequentiallyConsistent) { return true }
    return options.deadline.map { OpenAIServer.now >= $0 } ?? false
  }

  /// What earlier runs finished, with and without an error.
  var finishedBefore: (completed: Int, failed: Int) {
    let finished = output.finished
    return (finished.ids.count + finished.lines.count - finished.failed, finished.failed)
  }

  /// Leaves when the run is cancelled.
  private struct Requester: HTTPClient {
    let runner: BatchRunner

    var presence: HTTPClientPresence { runner.isStopping ? .gone : .present }
  }

  private enum Work {
    case request(BatchLine, number: Int)
    case refuse(BatchLine.Malformed, number: Int, isLineError: Bool)
  }

  /// Work with the bytes of its line.
  private struct Taken {
    let work: Work
    let bytes: Int
  }

  private func work() {
    do throws(BatchError) {
      while !isStopping, let taken = try next() {
        switch taken.work {
        case .refuse(let malformed, let number, let isLineError):
          try finish(
            BatchLine.output(
              customID: malformed.customID, result: .failure(malformed.error), line: number + 1,
              code: isLineError ? BatchOutput.lineErrorCode : nil), failed: true, bytes: taken.bytes)
        case .request(let line, let number):
          guard let result = try answer(line) else { return }
          var failed = false
          if case .failure = result { failed = true }
          try finish(
            BatchLine.output(customID: line.customID, result: result, line: number + 1), failed: failed,
            bytes: taken.bytes)
        }
      }
    } catch {
      state.withLock { if $0.failure == nil { $0.failure = error } }
      cancel()
    }
  }

  /// The next line of this shard that no earlier run finished; nil at the end.
  private func next() throws(BatchError) -> Taken? {
    try state.attempt { state throws(BatchError) in
      while let line = try state.reader.next() {
        let number = state.number
        let bytes = state.reader.offset - state.pace.readBytes
        state.number += 1
        state.pace.readBytes += bytes
        guard number % options.shard.count == options.shard.index else { continue }
        let skipped = state.report.skipped
        if let work = take(line, number: number, &state) {
          state.pace.takenBytes += bytes
          return Taken(work: work, bytes: bytes)
        }
        if state.report.skipped > skipped { state.pace.skippedBytes += bytes }
      }
      return nil
    }
  }

  private func take(_ line: LineReader.Line, number: Int, _ state: inout State) -> Work? {
    guard case .bytes(let bytes, _) = line else {
      return lineError(
        .init(
          error: APIError(
            413, .bodyTooLarge, "The line is longer than \(options.maximumLineBytes) bytes.")), number, &state
      )
    }
    if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return nil }
    do {
      let line = try BatchLine(bytes)
      return take(id: line.customID, number, &state) { .request(line, number: number) }
    } catch {
      guard let id = error.customID else { return lineError(error, number, &state) }
      return take(id: id, number, &state) { .refuse(error, number: number, isLineError: false) }
    }
  }

  private func take(id: String, _ number: Int, _ state: inout State, _ work: () -> Work) -> Work? {
    guard state.seen.insert(id).inserted else {
      let shown = id.prefix(200)
      return lineError(
        .init(
          customID: id,
          error: .invalid("custom_id '\(shown)' was used by an earlier line.", "custom_id")), number, &state)
    }
    if output.finished.ids.contains(id) {
      state.report.skipped += 1
      return nil
    }
    return work()
  }

  private func lineError(_ error: BatchLine.Malformed, _ number: Int, _ state: inout State) -> Work? {
    if output.finished.lines.contains(number + 1) {
      state.report.skipped += 1
      return nil
    }
    return .refuse(error, number: number, isLineError: true)
  }

  /// nil when the run was cancelled before the answer was complete.
  private func answer(_ line: BatchLine) throws(BatchError) -> Result<[UInt8], APIError>? {
    while true {
      do {
        let (json, wasAborted) = try server.complete(
          line.body, route: line.route, client: Requester(runner: self))
        return wasAborted && isStopping ? nil : .success(json)
      } catch {
        if isStopping { return nil }
        switch error.kind {
        case .overloaded:
          // The queue is full of this batch's own lines.
          let never = Monitor(false)
          never.wait(timeoutMilliseconds: 20, until: { _ in isStopping }, then: { _ in })
        case .unavailable: throw .engineStopped(error.message)
        default: return .failure(error)
        }
      }
    }
  }

  private func finish(_ line: [UInt8], failed: Bool, bytes: Int) throws(BatchError) {
    try output.append(line)
    let (report, pace) = state.withLock { state in
      if failed { state.report.failed += 1 } else { state.report.completed += 1 }
      state.pace.finishedBytes += bytes
      return (state.report, state.pace)
    }
    progress?(report, pace)
  }
}

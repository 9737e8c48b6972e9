internal import Generation
internal import Synchronization

/// Works on the batches of the Batches API, one after the other, with what `gpuinfer batch` runs on.
///
/// ```
/// validating ──▶ in_progress ──▶ finalizing ──▶ completed, expired
///      │              └─▶ cancelling ──────────▶ cancelled
///      └─▶ failed
/// ```
/// Each arrow is on disk before anybody sees it, and each step can be done again: a server that was killed goes on where
/// it stopped, without losing or repeating an answer.
package final class BatchQueue: Sendable {
  private let batches: BatchStore
  private let files: FileStore
  private let model: ServedModel
  private let options: ServerOptions
  private let concurrency: Int
  private let isStopping = Atomic(false)
  private let current = Monitor<(id: String, runner: BatchRunner)?>(nil)
  private let isWorking = Monitor(false)
  private let log: @Sendable (String) -> Void

  init(
    _ state: ServerState, _ model: ServedModel, _ options: ServerOptions, concurrency: Int,
    log: @escaping @Sendable (String) -> Void
  ) {
    batches = state.batches
    files = state.files
    self.model = model
    self.options = options
    self.concurrency = concurrency
    self.log = log
  }

  /// Starts with what earlier servers left.
  ///
  /// - Returns: false where the system gives no thread.
  func start() -> Bool {
    isWorking.update { $0 = true }
    // Decoding nested JSON recurses.
    let thread = Thread(stackBytes: 8 << 20) {
      self.work()
      self.isWorking.update { $0 = false }
    }
    guard let thread else {
      isWorking.update { $0 = false }
      return false
    }
    thread.detach()
    return true
  }

  /// Stops as soon as it can; what is not answered is left for the next server. Idempotent; waits for the thread.
  package func stop() {
    isStopping.store(true, ordering: .sequentiallyConsistent)
    batches.wake()
    current.withLock { $0?.runner }?.cancel()
    isWorking.wait(timeoutMilliseconds: nil, until: { !$0 }, then: { _ in })
  }

  private var stops: Bool { isStopping.load(ordering: .sequentiallyConsistent) }

  /// Ends a batch early.
  ///
  /// - Throws: for one that is over, or nearly.
  func cancel(_ id: String) throws(APIError) -> BatchRecord {
    let changed: BatchRecord?
    do throws(StateError) {
      changed = try batches.update(id) { record in
        guard record.status == .validating || record.status == .inProgress else { return nil }
        var record = record
        record.outcome = .cancelled
        record.enter(.cancelling, now: OpenAIServer.now)
        return record
      }
    } catch { throw APIError(error) }
    guard let changed else {
      let status = batches[id]?.status ?? .cancelled
      if status == .cancelling, let record = batches[id] { return record }
      throw APIError(
        409, .badRequest, "Cannot cancel a batch with status '\(status.rawValue)'.", parameter: "batch_id")
    }
    if let running = current.withLock({ $0 }), running.id == id { running.runner.cancel() }
    return changed
  }

  // MARK: The thread

  private func work() {
    while let record = batches.next(while: { stops }) {
      do {
        try process(record)
      } catch let error as BatchError {
        if case .engineStopped = error {
          log("batch \(record.id) waits for the next server: \(error)")
          return
        }
        fail(record.id, "\(error)")
      } catch {
        fail(record.id, "\(error)")
      }
    }
  }

  /// The disk is full, say. Answers that were written stay where they are.
  private func fail(_ id: String, _ reason: String) {
    log("batch \(id) failed: \(reason)")
    do throws(StateError) {
      try batches.update(id) { record in
        var record = record
        record.problems = [.init(code: "server_error", message: reason)]
        record.enter(.failed, now: OpenAIServer.now)
        return record
      }
    } catch {
      // Not even that can be written: work on it is over for this server.
      log("batch \(id): \(error)")
      isStopping.store(true, ordering: .sequentiallyConsistent)
    }
  }

  private func process(_ record: BatchRecord) throws {
    switch record.status {
    case .validating: try validate(record)
    case .inProgress: try run(record)
    case .finalizing, .cancelling: try finalize(record)
    case .failed, .completed, .expired, .cancelled: break
    }
  }

  private func validate(_ record: BatchRecord) throws {
    guard files[record.inputFile] != nil else {
      return fail(record.id, "the input file \(record.inputFile) is gone")
    }
    let summary = try BatchInput.check(path: files.path(of: record.inputFile), endpoint: record.endpoint)
    try batches.update(record.id) { record in
      // It may have been cancelled meanwhile.
      guard record.status == .validating else { return nil }
      var record = record
      record.problems = summary.problems
      record.counts.total = summary.requests
      record.enter(summary.problems.isEmpty ? .inProgress : .failed, now: OpenAIServer.now)
      return record
    }
  }

  private func run(_ record: BatchRecord) throws {
    var runOptions = BatchOptions()
    runOptions.concurrency = min(concurrency, max(record.counts.total, 1))
    runOptions.deadline = record.expiresAt
    let before = Monitor((completed: 0, failed: 0))
    let total = record.counts.total
    let runner = try BatchRunner(
      model, input: files.path(of: record.inputFile), output: batches.answersPath(record.id),
      options: runOptions, serverOptions: options
    ) { [batches] report, _ in
      let earlier = before.withLock { $0 }
      batches.show(
        record.id,
        .init(
          total: total, completed: earlier.completed + report.completed,
          failed: earlier.failed + report.failed))
    }
    let earlier = runner.finishedBefore
    before.withLock { $0 = earlier }
    batches.show(record.id, .init(total: total, completed: earlier.completed, failed: earlier.failed))
    current.withLock { $0 = (record.id, runner) }
    defer { current.withLock { $0 = nil } }
    // Who stopped or cancelled before the runner could be seen has not reached it.
    if stops || batches[record.id]?.status != .inProgress { runner.cancel() }
    let report = try runner.run()
    // Threads show their counts in any order, so the last one shown may have been overtaken.
    batches.show(
      record.id,
      .init(
        total: total, completed: earlier.completed + report.completed,
        failed: earlier.failed + report.failed))
    if stops { return }
    let isDone = earlier.completed + earlier.failed + report.completed + report.failed >= total
    try batches.update(record.id) { record in
      guard record.status == .inProgress else { return nil }
      var record = record
      record.outcome = isDone ? .completed : .expired
      record.enter(.finalizing, now: OpenAIServer.now)
      return record
    }
  }

  /// Writes the files of a batch whose answers are all there, as far as there will be any.
  private func finalize(_ record: BatchRecord) throws {
    // Their names first, so that a crash in between leaves no file that nobody knows.
    let named = try batches.update(record.id) { record in
      var record = record
      record.outputFile = record.outputFile ?? StateIdentifier.newFile()
      record.errorFile = record.errorFile ?? StateIdentifier.newFile()
      return record
    }
    guard let named else { return }
    let outcome = named.outcome ?? .completed
    let results = BatchResults(files: files, answers: batches.answersPath(record.id))
    let written = try results.divide(
      named, expired: outcome == .expired ? files.path(of: named.inputFile) : nil)
    try batches.update(record.id) { record in
      var record = record
      if !written.output { record.outputFile = nil }
      if !written.errors { record.errorFile = nil }
      record.enter(outcome, now: OpenAIServer.now)
      return record
    }
    try DurableFile.remove(batches.answersPath(record.id))
  }
}

internal import Generation
internal import JSON

/// The batches of the Batches API, on disk.
///
/// ```
/// STATE/batches/batch_0123….json       what clients are shown, written again with each change of status
/// STATE/batches/batch_0123….answers    the answers as they come, one line each (`BatchRunner`); gone when it is over
/// ```
final class BatchStore: Sendable {
  static let maximumWaiting = 1000

  private let folder: String
  private let state = Monitor(State())

  private struct State: Sendable {
    var records: [String: BatchRecord] = [:]
    var nextNumber = 0
  }

  init(folder: String) throws(StateError) {
    self.folder = folder
    try StateFolder.make(folder)
    var state = State()
    for name in try StateFolder.names(in: folder) {
      let path = folder + "/" + name
      if name.hasSuffix(DurableFile.temporarySuffix) {
        try DurableFile.remove(path)
      } else if name.hasSuffix(".json") {
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue.parse(Self.bytes(path)) } catch {
          throw .damaged(path: path, reason: "\(error)")
        }
        guard let record = BatchRecord(stored: json), name == record.id + ".json" else {
          throw .damaged(path: path, reason: "fields are missing")
        }
        state.records[record.id] = record
        state.nextNumber = max(state.nextNumber, record.number + 1)
      }
    }
    let found = state
    self.state.withLock { $0 = found }
  }

  private static func bytes(_ path: String) -> [UInt8] { (try? StateFolder.read(path)) ?? [] }

  subscript(id: String) -> BatchRecord? { state.withLock { $0.records[id] } }

  /// Newest first.
  var all: [BatchRecord] {
    state.withLock { Array($0.records.values) }.sorted { $0.number > $1.number }
  }

  func answersPath(_ id: String) -> String { folder + "/" + id + ".answers" }

  /// - Throws: also where too many wait already.
  func add(endpoint: String, inputFile: String, metadata: JSONValue) throws(APIError) -> BatchRecord {
    let record = try state.attempt { state throws(APIError) in
      guard state.records.values.count(where: { !$0.status.isOver }) < Self.maximumWaiting else {
        throw APIError(
          429, .overloaded, "\(Self.maximumWaiting) batches wait already. Please try again later.",
          retryAfterSeconds: 60)
      }
      let record = BatchRecord(
        id: StateIdentifier.newBatch(), endpoint: endpoint, inputFile: inputFile, metadata: metadata,
        number: state.nextNumber, now: OpenAIServer.now)
      do throws(StateError) { try write(record) } catch { throw APIError(error) }
      state.nextNumber += 1
      state.records[record.id] = record
      return record
    }
    // Wakes the queue.
    state.update { _ in }
    return record
  }

  /// Changes a batch: on disk first, then for all to see.
  ///
  /// - Parameter change: nil leaves it as it is.
  @discardableResult
  func update(
    _ id: String, _ change: (BatchRecord) -> BatchRecord?
  ) throws(StateError) -> BatchRecord? {
    let changed = try state.attempt { state throws(StateError) -> BatchRecord? in
      guard let record = state.records[id], let changed = change(record) else { return nil }
      try write(changed)
      state.records[id] = changed
      return changed
    }
    state.update { _ in }
    return changed
  }

  /// Counts that change with every line and can be counted again from the answers.
  func show(_ id: String, _ counts: BatchRecord.Counts) {
    state.withLock { $0.records[id]?.counts = counts }
  }

  /// Waits for the oldest batch that is not over; nil once `isStopping`.
  func next(while isStopping: () -> Bool) -> BatchRecord? {
    let found: BatchRecord?? = state.wait(until: nil) { state -> BatchRecord?? in
      if isStopping() { return .some(nil) }
      let open = state.records.values.filter { !$0.status.isOver }.min { $0.number < $1.number }
      return open.map { .some($0) }
    }
    return found ?? nil
  }

  /// Lets `next` look again.
  func wake() { state.update { _ in } }

  private func write(_ record: BatchRecord) throws(StateError) {
    var bytes: [UInt8] = []
    record.stored.write(into: &bytes)
    try DurableFile.write(bytes, to: folder + "/" + record.id + ".json")
  }
}

/// The thread that works out masks while the model computes.
///
/// The engine hands over the sequences of a step, lets the model compute, and takes them back when it needs the masks.
final class MaskWorker: Sendable {
  struct Item {
    let grammar: GrammarProgress
    /// Empty, or the drafts to be verified.
    let drafts: ArraySlice<Int32>
  }
  /// Items on their way to the thread and back: whoever holds the list uses them, and nobody else does.
  private struct Batch: @unchecked Sendable {
    var items: [Item]
  }
  private struct State: Sendable {
    var batch: Batch?
    var isBusy = false
    var isOver = false
  }
  private let state: Monitor<State>
  private let thread: JoinableThread

  /// nil when there is no thread to be had.
  init?() {
    let state = Monitor(State())
    self.state = state
    let thread = try? JoinableThread {
      while let batch = state.wait(
        until: nil,
        for: { state -> Batch?? in
          if state.isOver { return .some(nil) }
          return state.batch.take().map { .some($0) }
        }) ?? nil
      {
        for item in batch.items { item.grammar.prepare(item.drafts) }
        state.update { $0.isBusy = false }
      }
    }
    guard let thread else { return nil }
    self.thread = thread
  }

  deinit {
    state.update { $0.isOver = true }
    thread.join()
  }

  func start(_ items: [Item]) {
    let batch = Batch(items: items)
    state.update {
      $0.batch = batch
      $0.isBusy = true
    }
  }

  func finish() { state.wait(until: nil) { $0.isBusy ? nil : () } }
}

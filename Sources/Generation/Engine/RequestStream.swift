internal import Synchronization

/// The engine's end of a request's stream: events in, read by one consumer.
///
/// The engine publishes once a step; the buffer keeps its capacity, so a consumer that keeps up costs the
/// engine no allocation.
final class Outbox: Sendable {
  struct State: Sendable {
    var events: [TokenEvent] = []
    var isClosed = false
  }
  private let state: Monitor<State>

  init() {
    var state = State()
    state.events.reserveCapacity(32)
    self.state = Monitor(state)
  }

  /// Moves the events over; `events` is empty afterwards and has room for the next ones.
  /// - Parameter closing: nothing comes after these.
  func publish(_ events: inout [TokenEvent], closing: Bool) {
    state.update { state in
      if state.events.isEmpty {
        swap(&state.events, &events)
      } else {
        state.events.append(contentsOf: events)
        events.removeAll(keepingCapacity: true)
      }
      if closing { state.isClosed = true }
    }
  }

  func next(until deadline: UInt64?) -> [TokenEvent]? {
    state.wait(until: deadline) { state -> [TokenEvent]?? in
      if state.events.isEmpty { return state.isClosed ? .some(nil) : nil }
      // The reader pays for the next buffer, so that the engine does not.
      var events: [TokenEvent] = []
      events.reserveCapacity(max(8, min(state.events.count * 2, 256)))
      swap(&state.events, &events)
      return events
    } ?? []
  }

  var isClosed: Bool { state.withLock(\.isClosed) }
}

/// The consumer's end. Letting go of it before the request is over cancels the request.
final class RequestStream: GenerationStream {
  private let number: UInt64
  private let outbox: Outbox
  private let mailbox: Mailbox
  private let wasCancelled = Atomic(false)

  init(number: UInt64, outbox: Outbox, mailbox: Mailbox) {
    self.number = number
    self.outbox = outbox
    self.mailbox = mailbox
  }

  deinit { cancel() }

  func next(timeoutMilliseconds: Int?) -> [TokenEvent]? {
    outbox.next(until: MonotonicClock.deadline(milliseconds: timeoutMilliseconds))
  }

  func finish(choice: Int) { mailbox.post(.finish(number: number, choice: choice)) }

  func cancel() {
    if wasCancelled.exchange(true, ordering: .relaxed) || outbox.isClosed { return }
    mailbox.post(.cancel(number: number))
  }
}

internal import Synchronization

/// What other threads want of the engine, and what they may know of it. One lock, held for moments.
final class Mailbox: Sendable {
  enum Command: Sendable {
    case submit(Submission)
    case finish(number: UInt64, choice: Int)
    case cancel(number: UInt64)
    case abortAll
    case adapter(AdapterCommand)
  }

  struct Submission: Sendable {
    var number: UInt64
    var request: GenerationRequest
    var outbox: Outbox
    var arrival: UInt64
  }

  enum Phase: Sendable, Equatable {
    case running
    /// Finishes what it has and takes nothing new.
    case draining
    /// Ends what it has and returns.
    case stopping
    case stopped(String)
  }

  struct State: Sendable {
    var phase = Phase.running
    var commands: [Command] = []
    /// Requests in `commands`.
    var posted = 0
    /// Requests not over yet, those in `commands` included.
    var live = 0
    var nextNumber: UInt64 = 0
    /// Nanoseconds between two requests' ends, smoothed; 0 before the second.
    var finishInterval = 0.0
  }

  private let state = Monitor(State())
  /// Requests the engine has taken over and that no step has carried yet. The engine's thread writes it.
  private let waiting = Atomic(0)

  /// Posts a request, if there is room for one.
  func submit(_ request: GenerationRequest, queueLimit: Int, arrival: UInt64) throws(SubmissionError) -> (
    UInt64, Outbox
  ) {
    let outbox = Outbox()
    let result = state.update { state -> Result<UInt64, SubmissionError> in
      switch state.phase {
      case .running: break
      case .draining, .stopping: return .failure(.draining)
      case .stopped(let reason): return .failure(.stopped(reason))
      }
      let queued = waiting.load(ordering: .relaxed) + state.posted
      if queued >= queueLimit {
        return .failure(.overloaded(retryAfterSeconds: Self.retryAfter(queued, state.finishInterval)))
      }
      let number = state.nextNumber
      state.nextNumber += 1
      state.posted += 1
      state.live += 1
      state.commands.append(
        .submit(Submission(number: number, request: request, outbox: outbox, arrival: arrival)))
      return .success(number)
    }
    return (try result.get(), outbox)
  }

  /// Half the queue's expected time: by then about half of those who are told have a place.
  static func retryAfter(_ queued: Int, _ finishInterval: Double) -> Int {
    let seconds = Double(queued) * finishInterval / 2e9
    return Int(min(max(seconds.rounded(.up), 1), 60))
  }

  /// Ignored once the engine has stopped: everything is over then.
  /// - Returns: whether it was taken.
  @discardableResult
  func post(_ command: Command) -> Bool {
    state.update { state in
      if case .stopped = state.phase { return false }
      state.commands.append(command)
      return true
    }
  }

  /// Moves on in the order of `Phase`'s cases, never back.
  func enter(_ phase: Phase) {
    state.update { state in
      switch (state.phase, phase) {
      case (.running, _), (.draining, .stopping), (.draining, .stopped), (.stopping, .stopped):
        state.phase = phase
      default: break
      }
    }
  }

  var phase: Phase { state.withLock(\.phase) }

  /// Requests the engine has not looked at yet.
  var posted: Int { state.withLock(\.posted) }

  /// The engine's look in: takes what was posted.
  ///
  /// - Parameters:
  ///   - commands: empty; swapped with the posted ones, so that both arrays keep their room.
  ///   - blocks: waits until there is something to do.
  func collect(into commands: inout [Command], blocks: Bool) -> Phase {
    func take(_ state: inout State) -> Phase {
      swap(&state.commands, &commands)
      waiting.wrappingAdd(state.posted, ordering: .relaxed)
      state.posted = 0
      return state.phase
    }
    if !blocks { return state.withLock(take) }
    let phase = state.wait(until: nil) { state -> Phase? in
      state.commands.isEmpty && (state.phase == .running || state.phase == .draining) ? nil : take(&state)
    }
    return phase ?? .stopping
  }

  func setWaiting(_ count: Int) { waiting.store(count, ordering: .relaxed) }

  func requestsEnded(_ count: Int, finishInterval: Double) {
    state.update { state in
      state.live -= count
      state.finishInterval = finishInterval
    }
  }

  /// Waits until no request is live; false when the deadline passes first.
  func waitUntilEmpty(deadline: UInt64?) -> Bool {
    state.wait(until: deadline) { state -> Bool? in
      if case .stopped = state.phase { return true }
      return state.live == 0 ? true : nil
    } ?? false
  }

  /// The engine's last act: nothing is taken from now on. Returns what was still posted.
  func close(_ reason: String) -> [Command] {
    state.update { state in
      state.phase = .stopped(reason)
      let commands = state.commands
      state.commands = []
      return commands
    }
  }
}

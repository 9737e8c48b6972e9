import Testing

@testable import Scheduling

@Suite struct SequenceTests {
  static let states: [SequenceState] = [.waiting, .running, .preempted, .finished(.length)]

  @Test("Only the moves of the drawing are allowed", arguments: states)
  func moves(from state: SequenceState) {
    let allowed: [SequenceState] =
      switch state {
      case .waiting: [.running, .finished(.length)]
      case .running: [.preempted, .finished(.length)]
      case .preempted: [.running, .finished(.length)]
      case .finished: []
      }
    #expect(Self.states.filter { state.canMove(to: $0) } == allowed)
  }

  @Test("An illegal move traps")
  func illegalMoves() async {
    await #expect(processExitsWith: .failure) {
      var sequence = SequenceTests.sequence()
      sequence.move(to: .preempted)
    }
    await #expect(processExitsWith: .failure) {
      var sequence = SequenceTests.sequence()
      sequence.move(to: .finished(.cancelled))
      sequence.move(to: .running)
    }
    await #expect(processExitsWith: .failure) {
      var sequence = SequenceTests.sequence()
      sequence.move(to: .running)
      sequence.move(to: .waiting)
    }
  }

  @Test("A block table that still leases blocks must not end")
  func lostLeases() async {
    await #expect(processExitsWith: .failure) {
      var table = BlockTable()
      table.append(3)
      table.recycle()
    }
  }

  @Test("Ids carry arrival and slot, and order by arrival")
  func ids() {
    let first = SequenceID(serial: 5, slot: 900)
    let second = SequenceID(serial: 6, slot: 1)
    #expect(first < second)
    #expect([first.serial, second.serial] == [5, 6])
    #expect([first.slot, second.slot] == [900, 1])
  }

  @Test("Slots are used again, ids never")
  func slotReuse() throws {
    let driver = try Driver()
    var seen = Set<SequenceID>()
    for _ in 0..<50 {
      let id = try driver.add(prompt(3), maxNewTokens: 1)
      #expect(id.slot == 0)
      #expect(seen.insert(id).inserted)
      try driver.step()
      #expect(driver.state(of: id) == .finished(.length))
    }
    #expect(seen.filter { driver.state(of: $0) != nil }.count == 1)
  }

  static func sequence() -> Scheduler.Sequence {
    let id = SequenceID(serial: 0, slot: 0)
    return Scheduler.Sequence(
      id: id, key: QueueKey(priority: 0, serial: 0), tokens: [1], limit: 2, rootDigest: .unsaltedRoot,
      wantsPromptLogits: false)
  }
}

import TestSupport
import Testing

@testable import Scheduling

@Suite struct WaitingQueueTests {
  @Test("Random insertions and removals agree with a sorted list", arguments: UInt64(1)...5)
  func randomOperations(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var queue = WaitingQueue()
    var list: [(key: QueueKey, slot: Int)] = []
    for serial in 0..<2000 {
      let slot = random.below(60)
      if let index = list.firstIndex(where: { $0.slot == slot }) {
        #expect(queue.contains(slot))
        queue.remove(slot)
        list.remove(at: index)
      } else {
        #expect(!queue.contains(slot))
        let key = QueueKey(priority: random.below(4), serial: UInt64(serial))
        queue.insert(slot, key)
        list.append((key, slot))
      }
      #expect(queue.count == list.count)
      #expect(queue.first == list.min { $0.key < $1.key }?.slot)
    }
    while let slot = queue.first {
      #expect(slot == list.min { $0.key < $1.key }?.slot)
      queue.remove(slot)
      list.removeAll { $0.slot == slot }
    }
    #expect(list.isEmpty)
  }

  @Test("Ten thousand queued requests can be cancelled at once")
  func manyCancellations() throws {
    let driver = try Driver()
    var ids: [SequenceID] = []
    for index in 0..<10_000 {
      ids += try driver.scheduler.add(SchedulerRequest(prompt: [Int32(index)], maxNewTokens: 1))
    }
    for id in ids {
      let wasAlive = driver.scheduler.cancel(id)
      #expect(wasAlive)
    }
    #expect(driver.isIdle)
    try driver.scheduler.checkInvariants()
  }
}

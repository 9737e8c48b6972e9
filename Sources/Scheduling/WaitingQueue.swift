/// Who goes first: the smaller priority, then the earlier arrival. Under first come, first served all
/// priorities are 0.
struct QueueKey: Comparable {
  var priority: Int
  var serial: UInt64

  static func < (left: QueueKey, right: QueueKey) -> Bool {
    left.priority != right.priority ? left.priority < right.priority : left.serial < right.serial
  }
}

/// The sequences that wait for capacity, smallest key first: a binary heap that knows where each slot stands.
///
/// A preempted sequence returns with the key it had, so it stands before all that came after it.
struct WaitingQueue {
  private struct Entry {
    var key: QueueKey
    var slot: Int
  }

  private var heap: [Entry] = []
  /// Index in `heap` by slot, -1 for a slot that does not wait here.
  private var places: [Int] = []

  var count: Int { heap.count }
  var first: Int? { heap.first?.slot }

  func contains(_ slot: Int) -> Bool { slot < places.count && places[slot] >= 0 }

  /// - Complexity: O(log n)
  mutating func insert(_ slot: Int, _ key: QueueKey) {
    while places.count <= slot { places.append(-1) }
    precondition(places[slot] < 0, "slot \(slot) waits already")
    heap.append(Entry(key: key, slot: slot))
    places[slot] = heap.count - 1
    siftUp(heap.count - 1)
  }

  /// - Complexity: O(log n)
  mutating func remove(_ slot: Int) {
    let place = places[slot]
    precondition(place >= 0, "slot \(slot) does not wait")
    let last = heap.count - 1
    if place != last { exchange(place, last) }
    heap.removeLast()
    places[slot] = -1
    if place < heap.count {
      siftDown(place)
      siftUp(place)
    }
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      if heap[parent].key < heap[index].key { return }
      exchange(parent, index)
      index = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var index = start
    while true {
      var smallest = index
      for child in 2 * index + 1...2 * index + 2 where child < heap.count {
        if heap[child].key < heap[smallest].key { smallest = child }
      }
      if smallest == index { return }
      exchange(smallest, index)
      index = smallest
    }
  }

  private mutating func exchange(_ left: Int, _ right: Int) {
    heap.swapAt(left, right)
    places[heap[left].slot] = left
    places[heap[right].slot] = right
  }
}

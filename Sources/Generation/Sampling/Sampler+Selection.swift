extension Sampler {
  /// Puts the `k` first candidates of the row into `keys` (in no particular order); returns how many there are.
  ///
  /// `keys[0..<k]` is a min-heap: its root is the last of the best k so far, the one to beat.
  mutating func selectByHeap(
    _ row: UnsafeBufferPointer<Float>, _ k: Int, floor: Float, temperature: Float
  ) -> Int {
    let keys = unsafe self.keys
    var size = 0
    var index = 0
    var bar = -Float.infinity
    while index < row.count {
      let logit = unsafe row[index]
      // A later id never wins a tie, so once the heap is full only larger logits enter.
      if logit > bar && logit / temperature >= floor {
        let key = Candidate.key(logit: logit, token: index)
        if size < k {
          unsafe keys[size] = key
          size &+= 1
          if size == k {
            var parent = k / 2
            while parent > 0 {
              parent &-= 1
              unsafe Heap.siftDown(keys, from: parent, size: k)
            }
            bar = unsafe Candidate.logit(keys[0])
          }
        } else {
          unsafe keys[0] = key
          unsafe Heap.siftDown(keys, from: 0, size: k)
          bar = unsafe Candidate.logit(keys[0])
        }
      }
      index &+= 1
    }
    return size
  }

  /// Puts every candidate of the row above −∞ with `y ≥ floor` into `keys`; returns how many there are.
  mutating func collect(_ row: UnsafeBufferPointer<Float>, floor: Float, temperature: Float) -> Int {
    var size = 0
    var index = 0
    while index < row.count {
      let logit = unsafe row[index]
      if logit > -.infinity && logit / temperature >= floor {
        unsafe keys[size] = Candidate.key(logit: logit, token: index)
        size &+= 1
      }
      index &+= 1
    }
    return size
  }

  /// Reorders `keys[0..<count]` so that the first `k` in order come first. Quickselect.
  mutating func selectFirst(_ k: Int, of count: Int) {
    var range = 0..<count
    while range.count > 1 {
      let split = partition(range)
      if k == split { return }
      range = k < split ? range.lowerBound..<split : split..<range.upperBound
    }
  }

  /// Puts the first `k` candidates of the row into `keys`, in no particular order; returns how many there are.
  mutating func select(
    _ k: Int, _ row: UnsafeBufferPointer<Float>, floor: Float, temperature: Float
  ) -> Int {
    if k <= Self.heapLimit {
      return unsafe selectByHeap(row, k, floor: floor, temperature: temperature)
    }
    let count = unsafe collect(row, floor: floor, temperature: temperature)
    if count <= k { return count }
    selectFirst(k, of: count)
    return k
  }

  /// Puts the nucleus of mass `p` of the whole row into `keys`; returns its size, at least 1.
  ///
  /// It mostly lies within the first few tokens: those are tried before the whole vocabulary is partitioned.
  mutating func selectNucleus(
    _ row: UnsafeBufferPointer<Float>, _ p: Float, floor: Float, top: Float, temperature: Float
  ) -> Int {
    var total: UInt64 = 0
    var index = 0
    while index < row.count {
      let y = unsafe row[index] / temperature
      if y >= floor { total &+= PortableMath.weight(y - top) }
      index &+= 1
    }
    let limit = Self.limit(p, of: total)
    var count = unsafe selectByHeap(
      row, min(Self.heapLimit, row.count), floor: floor, temperature: temperature)
    if weigh(count, top: top, temperature: temperature) < limit {
      count = unsafe collect(row, floor: floor, temperature: temperature)
      _ = weigh(count, top: top, temperature: temperature)
    }
    return selectMass(limit, of: count)
  }

  /// The mass that `p` of a total is reached with.
  static func limit(_ p: Float, of total: UInt64) -> UInt64 {
    max(1, UInt64((Double(p) * Double(total)).rounded(.up)))
  }

  /// Fills `weights` for the first `count` keys; returns their sum.
  mutating func weigh(_ count: Int, top: Float, temperature: Float) -> UInt64 {
    var total: UInt64 = 0
    var index = 0
    while index < count {
      let weight = unsafe PortableMath.weight(Candidate.logit(keys[index]) / temperature - top)
      unsafe weights[index] = weight
      total &+= weight
      index &+= 1
    }
    return total
  }

  /// Reorders `keys[0..<count]` and their weights so that those come first before which less than `limit` lies;
  /// returns how many that are, at least 1. Quickselect by mass: each partition's front is weighed, and the part
  /// that holds the limit is searched on.
  mutating func selectMass(_ limit: UInt64, of count: Int) -> Int {
    let weights = unsafe self.weights
    var before: UInt64 = 0
    var range = 0..<count
    while range.count > 1 {
      let split = partition(range)
      var mass: UInt64 = 0
      var index = range.lowerBound
      while index < split {
        unsafe mass &+= weights[index]
        index &+= 1
      }
      if before &+ mass >= limit {
        range = range.lowerBound..<split
      } else {
        before &+= mass
        range = split..<range.upperBound
      }
    }
    return range.upperBound
  }

  /// Moves the larger keys of `range` (and their weights) to its front; returns where the smaller ones start,
  /// strictly inside the range.
  ///
  /// Hoare's scheme around the median of three keys; the middle one is taken at a scrambled place, so that no
  /// arrangement of a vocabulary is quadratic by habit.
  private mutating func partition(_ range: Range<Int>) -> Int {
    let keys = unsafe self.keys
    let weights = unsafe self.weights
    let scrambled = (UInt64(truncatingIfNeeded: range.count) &* 0x9E37_79B9_7F4A_7C15) &>> 33
    let middle = range.lowerBound + Int(scrambled % UInt64(range.count))
    let a = unsafe keys[range.lowerBound]
    let b = unsafe keys[middle]
    let c = unsafe keys[range.upperBound - 1]
    let pivot = max(min(a, b), min(max(a, b), c))
    var low = range.lowerBound
    var high = range.upperBound - 1
    while true {
      while unsafe keys[low] > pivot { low &+= 1 }
      while unsafe keys[high] < pivot { high &-= 1 }
      if low >= high {
        // Keys differ, so `low == high` only at the pivot itself; it goes to the front part.
        return max(range.lowerBound + 1, min(high + 1, range.upperBound - 1))
      }
      unsafe keys.swapAt(low, high)
      unsafe weights.swapAt(low, high)
      low &+= 1
      high &-= 1
    }
  }
}

/// A binary min-heap in place.
enum Heap {
  @inline(__always)
  static func siftDown(_ keys: UnsafeMutableBufferPointer<UInt64>, from start: Int, size: Int) {
    let moving = unsafe keys[start]
    var parent = start
    while true {
      var child = 2 &* parent &+ 1
      if child >= size { break }
      if child &+ 1 < size, unsafe keys[child &+ 1] < keys[child] { child &+= 1 }
      if unsafe keys[child] >= moving { break }
      unsafe keys[parent] = keys[child]
      parent = child
    }
    unsafe keys[parent] = moving
  }
}

/// Tokens by their bytes, in the order of a walk that goes down first.
///
/// ```
/// tokens a, ab, abc, b      nodes   a ─ ab ─ abc ─ b        skip: the next node that is not below this one
///                           depth   1   2    3     1
/// ```
/// A walk keeps one state a depth; where a byte can't follow, `skip` passes everything below.
struct TokenTrie: Sendable {
  /// `byte | depth << 8 | skip << 16 | (token + 1) << 40`; depth from 1, token 0 for a node without one.
  private(set) var nodes: [UInt64] = []
  /// By token: the next one with the same bytes, or -1; empty when no two tokens have the same bytes.
  private(set) var twins: [Int32] = []

  /// Longer tokens are left out; a depth is kept in 8 bits.
  static let longestToken = 255
  /// `skip` is kept in 24 bits.
  static let mostNodes = 1 << 24

  @inline(__always) static func byte(_ node: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: node) }
  @inline(__always) static func depth(_ node: UInt64) -> Int { Int(UInt8(truncatingIfNeeded: node >> 8)) }
  @inline(__always) static func skip(_ node: UInt64) -> Int { Int(node >> 16 & 0xFF_FFFF) }
  /// -1 without one.
  @inline(__always) static func token(_ node: UInt64) -> Int { Int(node >> 40) - 1 }

  /// - Parameter tokens: sorted by their bytes; none is empty.
  init(_ tokens: [Int32], texts: TokenTextTable) {
    var path: [Int] = []
    var last: Int32 = -1
    for token in tokens {
      let text = texts.range(token)
      if text.count > Self.longestToken || nodes.count + text.count > Self.mostNodes { continue }
      let shared = last < 0 ? 0 : texts.sharedPrefix(last, token)
      if last >= 0, shared == text.count, shared == texts.range(last).count {
        if twins.isEmpty { twins = Array(repeating: -1, count: texts.count) }
        twins[Int(token)] = twins[Int(last)]
        twins[Int(last)] = token
        continue
      }
      close(&path, to: shared)
      for offset in shared..<text.count {
        path.append(nodes.count)
        nodes.append(UInt64(texts.bytes[text.lowerBound + offset]) | UInt64(offset + 1) << 8)
      }
      nodes[path[path.count - 1]] |= UInt64(token + 1) << 40
      last = token
    }
    close(&path, to: 0)
  }

  /// The nodes of the tokens that begin with a byte.
  func nodes(from first: UInt8) -> Range<Int> {
    var index = 0
    while index < nodes.count {
      let end = Self.skip(nodes[index])
      if Self.byte(nodes[index]) == first { return index..<end }
      index = end
    }
    return 0..<0
  }

  /// Nodes deeper than this have got all that is below them.
  private mutating func close(_ path: inout [Int], to depth: Int) {
    while path.count > depth {
      nodes[path.removeLast()] |= UInt64(nodes.count) << 16
    }
  }
}

/// The bytes of all tokens, one behind the other.
struct TokenTextTable: Sendable {
  private(set) var bytes: [UInt8] = []
  private var starts: [Int32] = [0]

  var count: Int { starts.count - 1 }

  mutating func append(_ text: some Collection<UInt8>) {
    bytes.append(contentsOf: text)
    starts.append(Int32(bytes.count))
  }

  func range(_ token: Int32) -> Range<Int> { Int(starts[Int(token)])..<Int(starts[Int(token) + 1]) }

  func sharedPrefix(_ a: Int32, _ b: Int32) -> Int {
    let (a, b) = (range(a), range(b))
    var shared = 0
    while shared < min(a.count, b.count), bytes[a.lowerBound + shared] == bytes[b.lowerBound + shared] {
      shared += 1
    }
    return shared
  }

  func precedes(_ a: Int32, _ b: Int32) -> Bool {
    let shared = sharedPrefix(a, b)
    let (left, right) = (range(a), range(b))
    if shared == left.count { return shared < right.count || a < b }
    if shared == right.count { return false }
    return bytes[left.lowerBound + shared] < bytes[right.lowerBound + shared]
  }
}

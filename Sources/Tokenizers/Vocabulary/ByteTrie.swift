/// Byte strings with values, for finding all of them that begin at a place of a text.
///
/// The edges of all nodes lie in one open-addressing table, at most half full: (node, byte) → child.
struct ByteTrie: Sendable {
  private struct Edge: Sendable {
    /// node × 256 + byte, or `empty`.
    var key: UInt64
    var child: UInt32
  }

  private static let empty = UInt64.max
  static let root: UInt32 = 0

  /// So that a hostile vocabulary can't aim for collisions.
  private let seed = UInt64.random(in: .min ... .max)
  private var edges = [Edge](repeating: Edge(key: empty, child: 0), count: 16)
  private var edgeCount = 0
  /// By node; -1 for a node where no string ends.
  private var values: [Int32] = [-1]

  /// Adds a string; its value, not negative, takes the place of an earlier one.
  mutating func insert(_ string: Span<UInt8>, value: Int32) {
    var node = Self.root
    for index in string.indices {
      if let child = child(of: node, string[index]) {
        node = child
      } else {
        let child = UInt32(truncatingIfNeeded: values.count)
        values.append(-1)
        add(Edge(key: Self.key(node, string[index]), child: child))
        node = child
      }
    }
    values[Int(node)] = value
  }

  /// The value of the string that ends at this node, or -1.
  @inline(__always)
  func value(of node: UInt32) -> Int32 { values[Int(node)] }

  @inline(__always)
  func child(of node: UInt32, _ byte: UInt8) -> UInt32? {
    let key = Self.key(node, byte)
    let edges = edges.span
    let mask = edges.count - 1
    var place = start(of: key) & mask
    while true {
      let edge = unsafe edges[unchecked: place]
      if edge.key == key { return edge.child }
      if edge.key == Self.empty { return nil }
      place = (place + 1) & mask
    }
  }

  /// The longest string that begins at `place`.
  func longestMatch(in text: Span<UInt8>, at place: Int) -> (value: Int32, end: Int)? {
    var node = Self.root
    var end = place
    var longest: (value: Int32, end: Int)?
    while end < text.count, let next = child(of: node, text[end]) {
      node = next
      end += 1
      if values[Int(node)] >= 0 { longest = (values[Int(node)], end) }
    }
    return longest
  }

  private static func key(_ node: UInt32, _ byte: UInt8) -> UInt64 { UInt64(node) << 8 | UInt64(byte) }

  @inline(__always)
  private func start(of key: UInt64) -> Int {
    let product = (key ^ seed).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return Int(truncatingIfNeeded: product.high ^ product.low)
  }

  private mutating func add(_ edge: Edge) {
    if 2 * (edgeCount + 1) > edges.count {
      let old = edges
      edges = [Edge](repeating: Edge(key: Self.empty, child: 0), count: 2 * old.count)
      for edge in old where edge.key != Self.empty { place(edge) }
    }
    place(edge)
    edgeCount += 1
  }

  private mutating func place(_ edge: Edge) {
    let mask = edges.count - 1
    var place = start(of: edge.key) & mask
    while edges[place].key != Self.empty { place = (place + 1) & mask }
    edges[place] = edge
  }
}

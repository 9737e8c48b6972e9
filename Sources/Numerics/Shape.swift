/// Up to four dimensions, outermost first, held without heap storage.
package struct Shape: Sendable, Equatable, CustomStringConvertible {
  package let rank: Int
  private let dimensions: SIMD4<Int>

  /// - Precondition: one to four dimensions, none negative, and their product fits `Int`.
  package init(_ dimensions: Int...) { self.init(dimensions) }

  package init(_ dimensions: [Int]) {
    precondition((1...4).contains(dimensions.count), "a shape has 1 to 4 dimensions")
    var packed = SIMD4<Int>(repeating: 1)
    for (axis, extent) in dimensions.enumerated() { packed[axis] = extent }
    self.init(rank: dimensions.count, packed)
  }

  // Views are cut at every step, and a variadic call would allocate an array each time.

  package init(_ count: Int) { self.init(rank: 1, SIMD4(count, 1, 1, 1)) }

  package init(_ rows: Int, _ columns: Int) { self.init(rank: 2, SIMD4(rows, columns, 1, 1)) }

  private init(rank: Int, _ dimensions: SIMD4<Int>) {
    var product = 1
    for axis in 0..<rank {
      let extent = dimensions[axis]
      precondition(extent >= 0, "dimension \(axis) is negative: \(extent)")
      let (next, overflow) = product.multipliedReportingOverflow(by: Swift.max(extent, 1))
      precondition(!overflow, "the element count overflows")
      product = next
    }
    self.rank = rank
    self.dimensions = dimensions
  }

  package subscript(axis: Int) -> Int {
    precondition(axis >= 0 && axis < rank, "axis \(axis) of a shape of rank \(rank)")
    return dimensions[axis]
  }

  package var elementCount: Int { dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3] }

  package var array: [Int] { (0..<rank).map { dimensions[$0] } }

  package var description: String { "[" + array.map(String.init).joined(separator: ", ") + "]" }
}

/// Up to four dimensions, outermost first, held without heap storage.
package struct Shape: Sendable, Equatable, CustomStringConvertible {
  package let rank: Int
  private let dimensions: SIMD4<Int>

  /// - Precondition: one to four dimensions, none negative, and their product fits `Int`.
  package init(_ dimensions: Int...) { self.init(dimensions) }

  package init(_ dimensions: [Int]) {
    precondition((1...4).contains(dimensions.count), "a shape has 1 to 4 dimensions")
    var packed = SIMD4<Int>(repeating: 1)
    var product = 1
    for (axis, extent) in dimensions.enumerated() {
      precondition(extent >= 0, "dimension \(axis) is negative: \(extent)")
      let (next, overflow) = product.multipliedReportingOverflow(by: Swift.max(extent, 1))
      precondition(!overflow, "the element count overflows")
      product = next
      packed[axis] = extent
    }
    self.rank = dimensions.count
    self.dimensions = packed
  }

  package subscript(axis: Int) -> Int {
    precondition(axis >= 0 && axis < rank, "axis \(axis) of a shape of rank \(rank)")
    return dimensions[axis]
  }

  package var elementCount: Int { dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3] }

  package var array: [Int] { (0..<rank).map { dimensions[$0] } }

  package var description: String { "[" + array.map(String.init).joined(separator: ", ") + "]" }
}

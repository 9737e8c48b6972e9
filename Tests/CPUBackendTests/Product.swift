/// A product in double precision, and what rounding it is relative to: each addition rounds its partial sum, which is
/// about the root of the squares of the terms so far; where one is more, it counts.
struct Product {
  private(set) var sums: [Double] = []
  private(set) var sizes: [Double] = []

  /// - Parameters:
  ///   - x: `[rows, inputs]`.
  ///   - w: `[outputs, inputs]`.
  ///   - offsets: the part of each weight that is multiplied on its own; its size and the rest's count then, and not
  ///     their difference's.
  ///   - start: what each sum begins with.
  init(
    _ x: [Double], _ w: [Float], _ rows: Int, _ inputs: Int, _ outputs: Int, offsets: [Float]? = nil,
    start: (Int, Int) -> Double = { _, _ in 0 }
  ) {
    for row in 0..<rows {
      for output in 0..<outputs {
        var sum = start(row, output)
        var squares = 1.0
        var largest = abs(sum)
        for k in 0..<inputs {
          let term = x[row * inputs + k] * Double(w[output * inputs + k])
          sum += term
          var size = abs(term)
          if let offset = offsets?[output * inputs + k] {
            size =
              abs(x[row * inputs + k]) * (abs(Double(w[output * inputs + k] - offset)) + abs(Double(offset)))
          }
          squares += size * size
          largest = max(largest, abs(sum))
        }
        sums.append(sum)
        sizes.append(max(squares.squareRoot(), largest))
      }
    }
  }
}

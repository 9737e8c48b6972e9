internal import CPUBackend
internal import Compute
internal import Models

/// What all optimal-brain-surgeon methods share: the damped factor of the inverse Gram matrix, and the order of
/// columns.
struct OptimalBrain {
  /// Weights in sweep order, dead inputs zeroed.
  let weight: Matrix
  /// `U` in sweep order.
  let factor: Matrix
  /// Sweep column `j` is input `order[j]`.
  let order: [Int]
  let notes: [String]

  enum Failure: Error { case notPositiveDefinite(tries: Int) }

  /// The Gram matrix scaled to a mean over tokens times two (the Hessian of the squared output error), upper triangle.
  static func hessian(_ statistics: ActivationStatistics, _ problem: LinearProblem) throws -> Matrix {
    guard let gram = statistics.gram else {
      throw MethodError.needsCalibration(method: "this method")
    }
    let hessian = gram.copy()
    let factor = 2 / Float(Swift.max(statistics.tokens, 1))
    hessian.scaleColumns(by: Array(repeating: factor, count: hessian.columns))
    guard hessian.isFinite else {
      throw MethodError.notFinite(module: problem.site.module, what: "the calibration statistics")
    }
    return hessian
  }

  /// - Parameters:
  ///   - order: of the columns; nil leaves them as they are.
  /// - Throws: `Failure` when damping up to the tries' limit does not make the matrix positive definite.
  init(
    _ problem: LinearProblem, hessian: Matrix, order: [Int]?, damping: Double, _ backend: CPUBackend
  ) throws {
    let columns = hessian.columns
    let order = order ?? Array(0..<columns)
    let isIdentity = order == Array(0..<columns)
    let weight = isIdentity ? problem.weight.copy() : problem.weight.selectingColumns(order)
    var notes: [String] = []
    hessian.mirrorUpper()
    // An input that was never anything but zero decides nothing: its weights are free, and zero is as good as any.
    var mean = 0.0
    var dead: [Int] = []
    for column in 0..<columns {
      if hessian[column, column] == 0 {
        dead.append(column)
      } else {
        mean += Double(hessian[column, column]) / Double(columns)
      }
    }
    if !dead.isEmpty {
      let isDead = Set(dead)
      for (place, channel) in order.enumerated() where isDead.contains(channel) {
        for row in 0..<weight.rows { weight[row, place] = 0 }
      }
      notes.append("\(dead.count) inputs were always zero in the calibration data; their weights became zero")
    }
    // More damping each time, then a floor under every diagonal element.
    var part = damping
    for attempt in 0..<Self.attempts {
      let damped = isIdentity ? hessian.copy() : hessian.selecting(order)
      let added = Float(part * Swift.max(mean, 1e-30))
      for place in 0..<columns {
        damped[place, place] = hessian[order[place], order[place]] == 0 ? 1 : damped[place, place] + added
      }
      if try backend.inverseFactor(damped) == nil {
        if attempt > 0 {
          notes.append("the Gram matrix needed a damping of \(part) instead of \(damping)")
        }
        self.weight = weight
        factor = damped
        self.order = order
        self.notes = notes
        return
      }
      part = Swift.max(part * 10, 0.01)
    }
    throw Failure.notPositiveDefinite(tries: Self.attempts)
  }

  private static let attempts = 5

  /// Columns back in the order of the inputs.
  func unordered(_ matrix: Matrix) -> Matrix {
    matrix.selectingColumns(inverse)
  }

  var inverse: [Int] {
    var inverse = [Int](repeating: 0, count: order.count)
    for (place, channel) in order.enumerated() { inverse[channel] = place }
    return inverse
  }

  /// Codes back in the order of the inputs.
  func unordered(_ codes: [UInt8], rows: Int) -> [UInt8] {
    let columns = order.count
    var result = codes
    for row in 0..<rows {
      for (place, channel) in order.enumerated() {
        result[row * columns + channel] = codes[row * columns + place]
      }
    }
    return result
  }

  // MARK: Orders

  /// Inputs by falling diagonal; of equals the first.
  static func byDiagonal(_ hessian: Matrix) -> [Int] {
    (0..<hessian.columns).sorted {
      let (left, right) = (hessian[$0, $0], hessian[$1, $1])
      return left != right ? left > right : $0 < $1
    }
  }

  /// Whole groups by their largest diagonal element, and inside each by its own.
  static func groupAware(_ hessian: Matrix, groupSize: Int) -> [Int] {
    let columns = hessian.columns
    let groups = (columns + groupSize - 1) / groupSize
    func members(_ group: Int) -> [Int] {
      Array(group * groupSize..<Swift.min((group + 1) * groupSize, columns))
    }
    let largest = (0..<groups).map { members($0).map { hessian[$0, $0] }.max() ?? 0 }
    let order = (0..<groups).sorted { largest[$0] != largest[$1] ? largest[$0] > largest[$1] : $0 < $1 }
    return order.flatMap { group in
      members(group).sorted {
        let (left, right) = (hessian[$0, $0], hessian[$1, $1])
        return left != right ? left > right : $0 < $1
      }
    }
  }
}

package import Numerics

/// How far an element may be from its reference, from rounding alone.
///
/// ```
/// allowed = relative · u · |r|  +  magnitude · m  +  scale · max|r|  +  tiny
/// ```
/// `u` is the unit roundoff of the output's type, `r` the reference, `m` the same operation over absolute operands
/// (`Σ|x||w|` of a product): what errors of single terms are proportional to, however much the terms cancel
/// (Higham, Accuracy and Stability of Numerical Algorithms, §3.1). `tiny` is half the smallest subnormal.
package struct ErrorBound: Sendable, Equatable {
  package var relative: Double
  package var magnitude: Double
  package var scale: Double

  package init(relative: Double, magnitude: Double = 0, scale: Double = 0) {
    self.relative = relative
    self.magnitude = magnitude
    self.scale = scale
  }

  /// The reference itself, or the nearest value of the candidate's type.
  package static let exact = ErrorBound(relative: 0)
  /// One rounding of a value that is itself good to float32.
  package static let rounded = ErrorBound(relative: 1.01, scale: 0x1p-20)
}

extension DataType {
  /// Greatest relative error of rounding to nearest: 2⁻⁸ for bfloat16.
  var unitRoundoff: Double {
    switch self {
    case .bfloat16: 0x1p-8
    case .float16: 0x1p-11
    default: 0x1p-24
    }
  }

  /// Greatest absolute error of rounding a value below the normal range.
  var subnormalRoundoff: Double {
    switch self {
    case .bfloat16: 0x1p-134
    case .float16: 0x1p-25
    default: 0x1p-150
    }
  }

  /// The nearest value of this type, as a float.
  func rounding(_ value: Float) -> Float {
    switch self {
    case .bfloat16: BFloat16(value).float
    case .float16: Float(Float16(value))
    default: value
    }
  }
}

/// What comparing two arrays of results found.
package struct Comparison: Sendable, Equatable {
  package var elements = 0
  /// The greatest difference over what is allowed there: above 1 is a breach. Infinite where a value is missing or not
  /// finite.
  package var worst = 0.0
  /// Place of that element in row-major order, with its values; nil for no elements.
  package var worstElement: Element?
  package var maxAbsolute = 0.0
  package var isBreach: Bool { !(worst <= 1) }

  package struct Element: Sendable, Equatable {
    package var index: Int
    package var reference: Float
    package var candidate: Float
  }

  /// - Parameters:
  ///   - magnitudes: the operation over absolute operands; empty when the bound does not use them.
  ///   - type: of the candidate's output.
  package init(
    _ candidate: [Float], against reference: [Float], magnitudes: [Float] = [], bound: ErrorBound,
    type: DataType
  ) {
    elements = reference.count
    guard candidate.count == reference.count, magnitudes.isEmpty || magnitudes.count == reference.count else {
      worst = .infinity
      return
    }
    let scale = reference.lazy.filter(\.isFinite).map { Double(abs($0)) }.max() ?? 0
    let unit = type.unitRoundoff
    for index in reference.indices {
      let (found, wanted) = (Double(candidate[index]), Double(reference[index]))
      // Equal infinities and equal NaNs are what a reference can ask for.
      let isCorrectlyRounded = bound == .exact && candidate[index] == type.rounding(reference[index])
      if found == wanted || (found.isNaN && wanted.isNaN) || isCorrectlyRounded {
        if worstElement == nil { note(index, 0, candidate, reference) }
        continue
      }
      var allowed = bound.relative * unit * abs(wanted) + bound.scale * scale
      if !magnitudes.isEmpty { allowed += bound.magnitude * Double(magnitudes[index]) }
      if bound != .exact { allowed += type.subnormalRoundoff }
      let difference = abs(found - wanted)
      maxAbsolute = difference.isFinite ? Swift.max(maxAbsolute, difference) : .infinity
      let ratio = difference.isFinite && allowed > 0 ? difference / allowed : .infinity
      if ratio > worst || worstElement == nil { note(index, ratio, candidate, reference) }
    }
  }

  private mutating func note(_ index: Int, _ ratio: Double, _ candidate: [Float], _ reference: [Float]) {
    worst = Swift.max(worst, ratio)
    worstElement = Element(index: index, reference: reference[index], candidate: candidate[index])
  }
}

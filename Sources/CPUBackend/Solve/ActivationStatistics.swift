internal import CCPUBackend
package import Compute

/// What the inputs of a linear layer were like over all calibration tokens.
package struct ActivationStatistics {
  package private(set) var tokens = 0
  /// Each `[inputs]`.
  package private(set) var sumSquares: [Double]
  package private(set) var sumAbsolute: [Double]
  package private(set) var absoluteMaximum: [Float]
  package private(set) var minimum: [Float]
  package private(set) var maximum: [Float]
  /// `Σ x · xᵀ` `[inputs, inputs]`, upper triangle; nil where nobody asked for it.
  package private(set) var gram: Matrix?

  package init(inputs: Int, gram: Bool) {
    sumSquares = Array(repeating: 0, count: inputs)
    sumAbsolute = sumSquares
    absoluteMaximum = Array(repeating: 0, count: inputs)
    minimum = Array(repeating: .infinity, count: inputs)
    maximum = Array(repeating: -.infinity, count: inputs)
    if gram { self.gram = Matrix(rows: inputs, columns: inputs) }
  }

  package var inputs: Int { sumSquares.count }

  /// Adds rows of activations, float32 `[T, inputs]`.
  package mutating func add(_ input: TensorView, on backend: CPUBackend) throws(KernelError) {
    try OperandChecks("statistics").matrix(input, "input", columns: inputs)
    tokens += input.rows
    var (squares, sizes): ([Double], [Double]) = ([], [])
    var (absolute, least, greatest): ([Float], [Float], [Float]) = ([], [], [])
    swap(&squares, &sumSquares)
    swap(&sizes, &sumAbsolute)
    swap(&absolute, &absoluteMaximum)
    swap(&least, &minimum)
    swap(&greatest, &maximum)
    defer {
      swap(&squares, &sumSquares)
      swap(&sizes, &sumAbsolute)
      swap(&absolute, &absoluteMaximum)
      swap(&least, &minimum)
      swap(&greatest, &maximum)
    }
    unsafe squares.withUnsafeMutableBufferPointer { squares in
      unsafe sizes.withUnsafeMutableBufferPointer { sizes in
        unsafe absolute.withUnsafeMutableBufferPointer { absolute in
          unsafe least.withUnsafeMutableBufferPointer { least in
            unsafe greatest.withUnsafeMutableBufferPointer { greatest in
              var arguments = unsafe gpi_channel_args(
                input: input.floats, stride: input.rowStride, rows: input.rows, columns: input.columns,
                squares: squares.baseAddress, sizes: sizes.baseAddress, absmax: absolute.baseAddress,
                least: least.baseAddress, greatest: greatest.baseAddress)
              unsafe gpi_channel_statistics(backend.context, &arguments)
            }
          }
        }
      }
    }
    if let gram { try backend.accumulateGram(input, into: gram) }
  }

  /// Mean of |x| of each channel.
  package var meanAbsolute: [Float] {
    sumAbsolute.map { Float($0 / Double(Swift.max(tokens, 1))) }
  }

  /// The same inputs with channel `j` divided by `factors[j]`.
  package func dividing(by factors: [Float]) -> ActivationStatistics {
    precondition(factors.count == inputs && factors.allSatisfy { $0 > 0 }, "one positive factor a channel")
    var scaled = self
    for channel in 0..<inputs {
      let factor = factors[channel]
      scaled.sumSquares[channel] /= Double(factor) * Double(factor)
      scaled.sumAbsolute[channel] /= Double(factor)
      scaled.absoluteMaximum[channel] /= factor
      scaled.minimum[channel] /= factor
      scaled.maximum[channel] /= factor
    }
    if let gram {
      let copy = gram.copy()
      for row in 0..<inputs {
        for column in row..<inputs { copy[row, column] /= factors[row] * factors[column] }
      }
      scaled.gram = copy
    }
    return scaled
  }
}

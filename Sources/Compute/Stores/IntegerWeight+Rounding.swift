internal import Numerics

/// What plain linear layers become while a model is loaded.
package enum LoadQuantization: Sendable, Equatable {
  /// Rows to int8 by their own largest size / 127, tokens as well, and channels of a token from the threshold on
  /// multiplied unrounded (LLM.int8, arXiv 2208.07339). Needs no data.
  case int8(outlierThreshold: Float?)

  /// As bitsandbytes has it.
  package static let llmInt8 = LoadQuantization.int8(outlierThreshold: 6)

  /// Of a layer's store.
  package func byteCount(outputs: Int, inputs: Int) -> Int {
    outputs * (4 * PackedCodes.wordCount(inputs, bits: 8) + 4)
  }

  /// - Parameter weight: float `[N, K]` in host memory.
  /// - Throws: `notFinite` for a row with an infinite or undefined element.
  package func store(of weight: Tensor) throws(StoreError) -> LinearWeight.Store {
    switch self {
    case .int8(let threshold):
      .integer(try IntegerWeight(rounding: weight, activations: .token(outlierThreshold: threshold)))
    }
  }
}

extension IntegerWeight {
  /// Each row in int8 by its largest size / 127, halves to even. A row of zeros, or of numbers so small that no scale is left
  /// of them, has a scale of 1.
  init(rounding weight: Tensor, activations: IntegerActivations?) throws(StoreError) {
    let (outputs, inputs) = (weight.shape[0], weight.shape[1])
    let words = PackedCodes.wordCount(inputs, bits: 8)
    var scales = [Float](repeating: 1, count: outputs)
    var row = [Float](repeating: 0, count: inputs)
    var strange: Int?
    let codes = unsafe HostTensor.make(.int32, Shape(outputs, words)) { bytes in
      unsafe row.withUnsafeMutableBufferPointer { row in
        for output in 0..<outputs {
          unsafe weight.copyFloats(from: output * inputs, into: row)
          let largest = unsafe Self.largestMagnitude(UnsafeBufferPointer(row))
          guard largest.isFinite else {
            strange = unsafe row.firstIndex { !$0.isFinite }.map { output * inputs + $0 }
            return
          }
          if largest / 127 > 0 { scales[output] = largest / 127 }
          let line = unsafe UnsafeMutableRawBufferPointer(
            rebasing: bytes[output * words * 4..<(output + 1) * words * 4])
          unsafe Self.round(UnsafeBufferPointer(row), scale: scales[output], into: line)
        }
      }
    }
    if let strange { throw .notFinite(operand: "weight", index: strange) }
    try self.init(
      outputs: outputs, inputs: inputs, bits: 8, groupSize: inputs, codes: codes,
      scales: HostTensor.copy(scales, .float32, Shape(outputs, 1)), activations: activations)
  }

  /// Infinite or undefined where an element is: sizes are ordered as their bits are, which compilers take many at a time.
  @unsafe
  private static func largestMagnitude(_ row: UnsafeBufferPointer<Float>) -> Float {
    var bits: UInt32 = 0
    for index in row.indices { bits = max(bits, unsafe row[index].bitPattern & 0x7FFF_FFFF) }
    return Float(bitPattern: bits)
  }

  /// Codes are unsigned, around 128, and so is what fills up the last word, which does not count.
  ///
  /// Added to 1.5 · 2²³, where floats are a unit apart, a number is rounded to an integer, halves to even, in the lowest
  /// bits; a library call for each would take most of the time a model needs to load.
  @unsafe
  private static func round(
    _ row: UnsafeBufferPointer<Float>, scale: Float, into codes: UnsafeMutableRawBufferPointer
  ) {
    let units: Float = 0x1.8p23
    for index in row.indices {
      let code = unsafe max(-127, min(127, row[index] / scale))
      unsafe codes[index] = UInt8(truncatingIfNeeded: (code + units).bitPattern &- units.bitPattern &+ 128)
    }
    for index in row.count..<codes.count { unsafe codes[index] = 128 }
  }
}

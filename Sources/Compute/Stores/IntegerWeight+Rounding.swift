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
      guard let base = bytes.baseAddress else { return }
      // Codes are unsigned, around 128; what fills up the last word does not count.
      unsafe base.initializeMemory(as: UInt8.self, repeating: 128, count: bytes.count)
      for output in 0..<outputs {
        var largest: Float = 0
        for input in 0..<inputs {
          row[input] = weight.float(at: output * inputs + input)
          largest = max(largest, abs(row[input]))
          if !row[input].isFinite { strange = output * inputs + input }
        }
        if strange != nil { return }
        if largest / 127 > 0 { scales[output] = largest / 127 }
        for input in 0..<inputs {
          let code = (row[input] / scales[output]).rounded(.toNearestOrEven)
          unsafe base.storeBytes(
            of: UInt8(Int(min(max(code, -127), 127)) + 128), toByteOffset: output * words * 4 + input,
            as: UInt8.self)
        }
      }
    }
    if let strange { throw .notFinite(operand: "weight", index: strange) }
    try self.init(
      outputs: outputs, inputs: inputs, bits: 8, groupSize: inputs, codes: codes,
      scales: HostTensor.copy(scales, .float32, Shape(outputs, 1)), activations: activations)
  }
}

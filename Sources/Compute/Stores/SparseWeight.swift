internal import Numerics

/// A weight most of whose elements are zero: one bit for each says whether it is kept, and only those that are have a
/// value.
///
///     mask     uint8 [N, ceil(K / 8)], the lowest bit of a byte first; bits behind input K are 0
///
///     2:4      two of every four neighbouring inputs are kept, so row n's values are the n-th row of [N, K / 2]:
///              inputs   0 1 2 3 | 4 5 6 7 | …        mask  0b0110_0101, …
///              kept     a . b . | . c d . | …        row   a b c d …
///     rows     any number is kept; row n's values begin at starts[n]
///
/// The mask is that of compressed-tensors' `sparse-24-bitmask` and `sparse-bitmask`. It costs one bit a weight, as the
/// 2-bit indices of tensor cores do (two for every four inputs), and those follow from it.
///
/// A kept value may be zero: where a run of four has fewer than two others, zeros fill it up.
package struct SparseWeight {
  package enum Pattern {
    case twoOfFour
    /// int64 `[N]`: where each row's values begin, in elements of `floats` or in words of `codes`.
    case rows(starts: Tensor)
  }

  package enum Values {
    /// float32, float16 or bfloat16: `[N, K / 2]`, or `[kept]` for rows.
    case floats(Tensor)
    case codes(SparseCodes)
  }

  package let outputs: Int
  package let inputs: Int
  package let mask: Tensor
  package let pattern: Pattern
  package let values: Values

  /// - Throws: for parts that do not fit together. Elements are not looked at here (`validateValues` does).
  package init(
    outputs: Int, inputs: Int, mask: Tensor, pattern: Pattern, values: Values
  ) throws(StoreError) {
    guard inputs > 0 else { throw .groupSize(4, inputs: inputs) }
    try StoreChecks.tensor(mask, "bitmask", [outputs, (inputs + 7) / 8], [.uint8])
    switch pattern {
    case .twoOfFour:
      guard inputs % 4 == 0 else { throw .groupSize(4, inputs: inputs) }
      switch values {
      case .floats(let kept):
        try StoreChecks.tensor(kept, "compressed values", [outputs, inputs / 2], StoreChecks.scaleTypes)
      case .codes(let codes):
        let words = PackedCodes.wordCount(inputs / 2, bits: codes.bits)
        try StoreChecks.tensor(codes.words, "codes", [outputs, words], [.int32])
      }
    case .rows(let starts):
      try StoreChecks.tensor(starts, "row offsets", [outputs], [.int64])
      switch values {
      case .floats(let kept):
        try StoreChecks.tensor(
          kept, "compressed values", [kept.shape.elementCount], StoreChecks.scaleTypes)
      case .codes(let codes):
        try StoreChecks.tensor(codes.words, "codes", [codes.words.shape.elementCount], [.int32])
      }
    }
    if case .codes(let codes) = values { try codes.check(outputs: outputs, inputs: inputs) }
    self.outputs = outputs
    self.inputs = inputs
    self.mask = mask
    self.pattern = pattern
    self.values = values
  }

  package var byteCount: Int {
    var bytes = mask.byteCount
    if case .rows(let starts) = pattern { bytes += starts.byteCount }
    switch values {
    case .floats(let kept): bytes += kept.byteCount
    case .codes(let codes): bytes += codes.byteCount
    }
    return bytes
  }

  package var isTwoOfFour: Bool { if case .twoOfFour = pattern { true } else { false } }

  /// Bytes of a row of the mask.
  package var maskWidth: Int { (inputs + 7) / 8 }

  /// For messages: "2:4 bfloat16".
  package var summary: String {
    let pattern = isTwoOfFour ? "2:4" : "sparse"
    switch values {
    case .floats(let kept): return "\(pattern) \(kept.dataType.rawValue)"
    case .codes(let codes):
      let groups = codes.groupSize == inputs ? "by output" : "in groups of \(codes.groupSize)"
      return "\(pattern) int\(codes.bits) \(groups)"
    }
  }

  /// Looks at every bit, offset and number: host memory only.
  ///
  /// - Throws: what `validateStructure` throws, and NaN or infinity with its place.
  package func validateValues() throws(StoreError) {
    try validateStructure()
    switch values {
    case .floats(let kept): try StoreChecks.finite(kept, "compressed values")
    case .codes(let codes): try codes.validateValues()
    }
  }

  /// Looks at every bit and offset, so that rows may be read: host memory only.
  ///
  /// - Throws: a run of four that does not keep two, an offset that is not where the rows before it end, values that are
  ///   more or fewer than the mask keeps, or bits behind the last input; each with its place.
  package func validateStructure() throws(StoreError) {
    let mask = unsafe self.mask.view.address.assumingMemoryBound(to: UInt8.self)
    var expected = 0
    for row in 0..<outputs {
      let line = unsafe mask + row * maskWidth
      if inputs % 8 != 0, case let last = unsafe line[maskWidth - 1], last >> (inputs % 8) != 0 {
        throw .maskBehindRow(row: row, inputs: inputs)
      }
      if case .twoOfFour = pattern {
        for run in 0..<inputs / 4 {
          let pair = unsafe line[run / 2] >> (run % 2 * 4) & 15
          guard pair.nonzeroBitCount == 2 else {
            throw .maskRun(row: row, input: run * 4, kept: pair.nonzeroBitCount)
          }
        }
      }
      if case .rows(let starts) = pattern {
        let found = starts.integer(at: row)
        guard found == expected else {
          throw .rowOffset(row: row, found: found, expected: expected)
        }
        expected += units(keptCount(row: row))
      }
    }
    guard case .rows = pattern else { return }
    let (name, found) =
      switch values {
      case .floats(let kept): ("compressed values", kept.shape.array)
      case .codes(let codes): ("codes", codes.words.shape.array)
      }
    if found != [expected] { throw .shape(operand: name, found: found, expected: [expected]) }
  }

  /// What `count` kept weights of a row take in units of `starts`.
  package func units(_ count: Int) -> Int {
    switch values {
    case .floats: count
    case .codes(let codes): PackedCodes.wordCount(count, bits: codes.bits)
    }
  }

  // MARK: Reading

  package func keptCount(row: Int) -> Int {
    let line = unsafe mask.view.address.assumingMemoryBound(to: UInt8.self) + row * maskWidth
    return (0..<maskWidth).reduce(0) { sum, byte in unsafe sum + line[byte].nonzeroBitCount }
  }

  /// The inputs that a row keeps, ascending.
  package func keptInputs(row: Int) -> [Int] {
    let line = unsafe mask.view.address.assumingMemoryBound(to: UInt8.self) + row * maskWidth
    return (0..<inputs).filter { unsafe line[$0 / 8] >> ($0 % 8) & 1 != 0 }
  }

  /// Where a row's values begin, in elements or words.
  package func start(row: Int) -> Int {
    switch pattern {
    case .twoOfFour: row * units(inputs / 2)
    case .rows(let starts): starts.integer(at: row)
    }
  }

  /// One row of W: the reference every kernel is held to.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    for input in 0..<inputs { unsafe target[input] = 0 }
    let kept = keptInputs(row: row)
    let start = start(row: row)
    switch values {
    case .floats(let values):
      for (place, input) in kept.enumerated() {
        unsafe target[input] = values.float(at: start + place)
      }
    case .codes(let codes):
      let found = codes.codes(count: kept.count, word: start)
      for (place, input) in kept.enumerated() {
        unsafe target[input] = codes.value(found[place], row: row, input: input, of: inputs)
      }
    }
  }
}

/// Integer codes of the kept weights of a sparse weight, scaled by groups of *inputs*:
/// `W[n, k] = scale[n, k / groupSize] · (code − zero[n, k / groupSize])` where `k` is kept, and 0 elsewhere.
package struct SparseCodes {
  /// One of `IntegerWeight.supportedBits`.
  package let bits: Int
  package let groupSize: Int
  /// int32, a `PackedCodes` stream for each row: `[N, ceil(K / 2 · bits / 32)]`, or for rows of any length `[words]`.
  package let words: Tensor
  /// float16, bfloat16 or float32 `[N, K / groupSize]`.
  package let scales: Tensor
  package let zero: IntegerWeight.Zero
  package let activations: IntegerActivations?

  package init(
    bits: Int, groupSize: Int, words: Tensor, scales: Tensor, zero: IntegerWeight.Zero = .midpoint,
    activations: IntegerActivations? = nil
  ) {
    self.bits = bits
    self.groupSize = groupSize
    self.words = words
    self.scales = scales
    self.zero = zero
    self.activations = activations
  }

  package var byteCount: Int {
    let zeros =
      switch zero {
      case .midpoint: 0
      case .integers(let zeros), .reals(let zeros): zeros.byteCount
      }
    return words.byteCount + scales.byteCount + zeros
  }

  func check(outputs: Int, inputs: Int) throws(StoreError) {
    guard IntegerWeight.supportedBits.contains(bits) else {
      throw .bits(bits, supported: IntegerWeight.supportedBits)
    }
    guard groupSize > 0, inputs % groupSize == 0 else { throw .groupSize(groupSize, inputs: inputs) }
    let shape = [outputs, inputs / groupSize]
    try StoreChecks.tensor(scales, "scales", shape, StoreChecks.scaleTypes)
    switch zero {
    case .midpoint: break
    case .integers(let zeros): try StoreChecks.tensor(zeros, "zeros", shape, [.uint8])
    case .reals(let zeros): try StoreChecks.tensor(zeros, "zeros", shape, StoreChecks.scaleTypes)
    }
  }

  func validateValues() throws(StoreError) {
    try StoreChecks.finite(scales, "scales")
    switch zero {
    case .midpoint: break
    case .reals(let zeros): try StoreChecks.finite(zeros, "zeros")
    case .integers(let zeros):
      for (index, value) in zeros.integers.enumerated() where value >= 1 << bits {
        throw .indexOutOfRange(operand: "zeros", index: index, value: value, limit: 1 << bits)
      }
    }
  }

  /// The first `count` codes from a word on.
  func codes(count: Int, word: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let base = unsafe words.view.address.assumingMemoryBound(to: UInt32.self)
      if count > 0 {
        unsafe PackedCodes.unpack(
          base + word, bits: bits, into: UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
      }
      initialized = count
    }
  }

  func value(_ code: UInt8, row: Int, input: Int, of inputs: Int) -> Float {
    let group = row * (inputs / groupSize) + input / groupSize
    let zero: Float =
      switch self.zero {
      case .midpoint: Float(1 << (bits - 1))
      case .integers(let zeros): Float(zeros.integer(at: group))
      case .reals(let zeros): zeros.float(at: group)
      }
    return scales.float(at: group) * (Float(code) - zero)
  }
}

/// Encoding of Q4_K and Q6_K by the searches of ggml's reference quantisers (`quantize_row_q4_K_ref`, `…q6_K_ref` without
/// an importance matrix), in the same float32 operations.
extension GGMLType {
  /// `nearest_int` of ggml: to nearest, ties to even, for sizes below 2²².
  private static func nearest(_ value: Float) -> Int {
    guard value.magnitude <= 4_194_303 else { return 0 }
    return Int(value.rounded(.toNearestOrEven))
  }

  // MARK: Q4_K

  /// 256 values: eight sub-blocks with a scale and a minimum each, which are themselves 6-bit multiples of d and dmin.
  static func encodeQ4K(_ x: ArraySlice<Float>, _ bytes: inout [UInt8]) {
    let x = [Float](x)
    var scales = [Float](repeating: 0, count: 8)
    var minima = scales
    for sub in 0..<8 {
      let part = x[sub * 32..<sub * 32 + 32]
      // √(mean x²) + |x|: large values count more.
      let mean = (part.reduce(0) { $0 + $1 * $1 } / 32).squareRoot()
      (scales[sub], minima[sub]) = scaleAndMinimum([Float](part), weights: part.map { mean + $0.magnitude })
    }
    let (largestScale, largestMinimum) = (scales.max() ?? 0, minima.max() ?? 0)
    let inverseScale = largestScale > 0 ? 63 / largestScale : 0
    let inverseMinimum = largestMinimum > 0 ? 63 / largestMinimum : 0
    let scaleCodes = scales.map { UInt8(clamping: min(63, nearest(inverseScale * $0))) }
    let minimumCodes = minima.map { UInt8(clamping: min(63, nearest(inverseMinimum * $0))) }
    let (d, dmin) = ((largestScale / 63).float16Bits, (largestMinimum / 63).float16Bits)
    var codes = [UInt8](repeating: 0, count: 256)
    for sub in 0..<8 {
      let scale = Float(float16Bits: d) * Float(scaleCodes[sub])
      guard scale != 0 else { continue }
      let minimum = Float(float16Bits: dmin) * Float(minimumCodes[sub])
      for i in sub * 32..<sub * 32 + 32 {
        codes[i] = UInt8(clamping: max(0, min(15, nearest((x[i] + minimum) / scale))))
      }
    }
    bytes.append(littleEndian: d)
    bytes.append(littleEndian: dmin)
    bytes += packed(scaleCodes, minimumCodes)
    // For each 64 elements 32 bytes: low nibbles the first half.
    for start in stride(from: 0, to: 256, by: 64) {
      for i in start..<start + 32 { bytes.append(codes[i] | codes[i + 32] << 4) }
    }
  }

  /// The layout is drawn at the decoder.
  private static func packed(_ scales: [UInt8], _ minima: [UInt8]) -> [UInt8] {
    var packed = [UInt8](repeating: 0, count: 12)
    for j in 0..<4 {
      packed[j] = scales[j] | (scales[j + 4] >> 4) << 6
      packed[j + 4] = minima[j] | (minima[j + 4] >> 4) << 6
      packed[j + 8] = scales[j + 4] & 15 | minima[j + 4] << 4
    }
    return packed
  }

  /// `make_qkx2_quants(n 32, nmax 15, rmin −1, rdelta 0.1, nstep 20)`: of 21 scales and the one of the range, the one whose
  /// codes, refitted by weighted least squares, give the least weighted squared error.
  private static func scaleAndMinimum(_ x: [Float], weights: [Float]) -> (scale: Float, minimum: Float) {
    var (low, high) = (x[0], x[0])
    var (sumW, sumX) = (weights[0], weights[0] * x[0])
    for i in 1..<x.count {
      low = Swift.min(low, x[i])
      high = Swift.max(high, x[i])
      sumW += weights[i]
      sumX += weights[i] * x[i]
    }
    if low > 0 { low = 0 }
    guard high > low else { return (0, -low) }
    var inverse = 15 / (high - low)
    var scale = 1 / inverse
    var best: Float = 0
    for i in x.indices {
      let code = Float(max(0, min(15, nearest(inverse * (x[i] - low)))))
      let difference = scale * code + low - x[i]
      best += weights[i] * (difference * difference)
    }
    var minimum = low
    for step in 0...20 {
      inverse = (-1 + 0.1 * Float(step) + 15) / (high - minimum)
      var (sumL, sumL2, sumXL): (Float, Float, Float) = (0, 0, 0)
      var codes = [Float](repeating: 0, count: x.count)
      for i in x.indices {
        let code = Float(max(0, min(15, nearest(inverse * (x[i] - minimum)))))
        codes[i] = code
        sumL += weights[i] * code
        sumL2 += weights[i] * code * code
        sumXL += weights[i] * code * x[i]
      }
      let determinant = sumW * sumL2 - sumL * sumL
      guard determinant > 0 else { continue }
      var newScale = (sumW * sumXL - sumX * sumL) / determinant
      var newMinimum = (sumL2 * sumX - sumL * sumXL) / determinant
      if newMinimum > 0 {
        newMinimum = 0
        newScale = sumXL / sumL2
      }
      var error: Float = 0
      for i in x.indices {
        let difference = newScale * codes[i] + newMinimum - x[i]
        error += weights[i] * (difference * difference)
      }
      if error < best {
        best = error
        scale = newScale
        minimum = newMinimum
      }
    }
    return (scale, -minimum)
  }

  // MARK: Q6_K

  /// 256 values: sixteen sub-blocks whose scales are int8 multiples of d.
  static func encodeQ6K(_ x: ArraySlice<Float>, _ bytes: inout [UInt8]) {
    let x = [Float](x)
    let scales = (0..<16).map { symmetricScale([Float](x[$0 * 16..<$0 * 16 + 16])) }
    // The first of the largest in size.
    let extreme = scales.reduce(Float(0)) { $1.magnitude > $0.magnitude ? $1 : $0 }
    guard extreme.magnitude >= 1e-15 else {
      bytes += [UInt8](repeating: 0, count: 210)
      return
    }
    let inverse = -128 / extreme
    let d = (1 / inverse).float16Bits
    let scaleCodes = scales.map { Int8(clamping: Swift.min(127, nearest(inverse * $0))) }
    var codes = [UInt8](repeating: 0, count: 256)
    for sub in 0..<16 {
      let scale = Float(float16Bits: d) * Float(scaleCodes[sub])
      for i in sub * 16..<sub * 16 + 16 {
        // A sub-block without a scale keeps the codes of its own search in ggml; they decode to 0 whatever they are.
        let code = scale == 0 ? 0 : Swift.max(-32, Swift.min(31, nearest(x[i] / scale)))
        codes[i] = UInt8(code + 32)
      }
    }
    var (low, high): ([UInt8], [UInt8]) = ([], [])
    for start in [0, 128] {
      for i in start..<start + 64 { low.append(codes[i] & 15 | codes[i + 64] << 4) }
      for i in start..<start + 32 {
        high.append(
          codes[i] >> 4 | (codes[i + 32] >> 4) << 2 | (codes[i + 64] >> 4) << 4 | (codes[i + 96] >> 4) << 6)
      }
    }
    bytes += low + high + scaleCodes.map { UInt8(bitPattern: $0) }
    bytes.append(littleEndian: d)
  }

  /// `make_qx_quants(n 16, nmax 32, rmse_type 1)`: of 19 scales about the one that sends the extreme to −32, the one with the
  /// best fit weighted by x².
  private static func symmetricScale(_ x: [Float]) -> Float {
    let extreme = x.reduce(Float(0)) { $1.magnitude > $0.magnitude ? $1 : $0 }
    guard extreme.magnitude >= 1e-15 else { return 0 }
    func fit(_ inverse: Float) -> (sumXL: Float, sumL2: Float) {
      var (sumXL, sumL2): (Float, Float) = (0, 0)
      for value in x {
        let code = Float(Swift.max(-32, Swift.min(31, nearest(inverse * value))))
        let weight = value * value
        sumXL += weight * value * code
        sumL2 += weight * code * code
      }
      return (sumXL, sumL2)
    }
    let (sumXL, sumL2) = fit(-32 / extreme)
    var scale = sumL2 > 0 ? sumXL / sumL2 : 0
    var best = scale * sumXL
    for step in -9...9 where step != 0 {
      let (sumXL, sumL2) = fit(-(32 + 0.1 * Float(step)) / extreme)
      if sumL2 > 0, sumXL * sumXL > best * sumL2 {
        scale = sumXL / sumL2
        best = scale * sumXL
      }
    }
    return scale
  }
}

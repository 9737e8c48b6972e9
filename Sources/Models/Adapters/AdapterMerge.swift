package import Checkpoints
internal import Numerics

/// An adapter written into the weights of its base: `W + scale · B A`, layer by layer.
///
/// The sum is taken in double precision and rounded once to the type of the weight, so that the merged model differs from
/// base and adapter side by side by that rounding only. A quantised weight would be rounded to its codes a second time and
/// is refused: such a base is served with the adapter beside it, or made anew from a merged original.
package struct AdapterMerge {
  package struct Report: Sendable, Equatable {
    /// Linear layers that were changed.
    package var layers = 0
    /// The largest of all layers.
    package var rank = 0
    /// What rounding to the weights' type took from the changes: the length of the error over the length of the changes.
    package var roundingShare = 0.0
  }

  private let base: Checkpoint
  private let path: String
  private let adapter: Adapter
  private let order: DecoderDescription.WeightOrder

  /// Checks base and adapter against each other; reads no weight.
  ///
  /// - Parameter path: the adapter's directory.
  /// - Throws: what is wrong with either, or why they cannot be merged without losing something.
  package init(_ base: Checkpoint, adapter path: String) throws(ModelError) {
    self.base = base
    self.path = path
    guard base.kind == .safetensors else {
      throw .adapter(
        path: path,
        reason: "\(base.path) is a GGUF file; merge into the Hugging Face checkpoint it was made from")
    }
    let configuration = try ModelRegistry.configuration(from: base.configuration)
    let inventory = try TensorInventory(configuration, in: base)
    let sites = inventory.sites(configuration)
    adapter = try Adapter(path: path, configuration: configuration, sites: sites)
    order = configuration.decoder.weightOrder
    for update in adapter.updates {
      let module = update.site.module
      let quantised: QuantizedLinear?
      do throws(CheckpointError) { quantised = try base.linear(module) } catch { throw .checkpoint(error) }
      if let quantised {
        throw .adapter(
          path: path,
          reason:
            "\"\(module)\" of \(base.path) is quantised (\(quantised.scheme.name)), and a merged weight would be "
            + "rounded to its codes again; serve the adapter beside it (--lora-modules), or merge into the original and "
            + "quantise the result")
      }
    }
  }

  /// Writes the merged checkpoint, in the files and types of the base.
  ///
  /// - Parameter directory: made; may not exist.
  /// - Throws: also where a merged weight is too large for its type.
  package func write(to directory: String) throws(ModelError) -> Report {
    var updates: [String: Adapter.Update] = [:]
    for update in adapter.updates { updates[update.site.module + ".weight"] = update }
    var changes = Changes()
    try CheckpointRewrite(base).write(to: directory, wrapping: { .checkpoint($0) }) {
      (raw) throws(ModelError) in
      guard let update = updates[raw.name] else { return nil }
      return try merged(raw, update, &changes)
    }
    return Report(layers: updates.count, rank: adapter.rank, roundingShare: changes.roundingShare)
  }

  /// Sums of squares over all merged weights.
  private struct Changes {
    var change = 0.0
    var error = 0.0

    var roundingShare: Double { change > 0 ? (error / change).squareRoot() : 0 }
  }

  /// ```
  /// outputs first      W[o, i] + s · Σ B[o, r] A[r, i]      left = B,  right = A
  /// inputs first       W[i, o] + s · Σ A[r, i] B[o, r]      left = Aᵀ, right = Bᵀ
  /// ```
  private func merged(
    _ raw: RawTensor, _ update: Adapter.Update, _ changes: inout Changes
  ) throws(ModelError) -> [UInt8] {
    let weights: [Float]
    var left: [Float]
    var right: [Float]
    do throws(CheckpointError) {
      weights = try raw.floats()
      (left, right) = (try update.up.floats(), try update.down.floats())
    } catch { throw .checkpoint(error) }
    let rank = update.rank
    if order == .inputsFirst {
      (left, right) = (
        Self.transposed(right, rows: rank), Self.transposed(left, rows: update.site.outputs)
      )
    }
    let columns = right.count / rank
    let scale = Double(update.scale)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(raw.byteCount)
    var sums = [Double](repeating: 0, count: columns)
    for row in 0..<left.count / rank {
      Self.multiply(left[row * rank..<(row + 1) * rank], right, into: &sums)
      for column in 0..<columns {
        let change = scale * sums[column]
        let exact = Double(weights[row * columns + column]) + change
        let rounded = Self.append(exact, raw.dataType, to: &bytes)
        guard rounded.isFinite else {
          throw .adapter(
            path: path,
            reason:
              "\"\(update.site.module)\" merged has \(exact) in row \(row), column \(column), which is no finite "
              + "\(raw.dataType.rawValue); convert the base to a wider type first")
        }
        changes.change += change * change
        changes.error += (rounded - exact) * (rounded - exact)
      }
    }
    return bytes
  }

  private static func multiply(_ factors: ArraySlice<Float>, _ right: [Float], into sums: inout [Double]) {
    unsafe sums.withUnsafeMutableBufferPointer { sums in
      unsafe right.withUnsafeBufferPointer { right in
        unsafe sums.update(repeating: 0)
        let columns = sums.count
        for (place, factor) in factors.enumerated() {
          let factor = Double(factor)
          for column in 0..<columns {
            unsafe sums[column] += factor * Double(right[place * columns + column])
          }
        }
      }
    }
  }

  private static func transposed(_ values: [Float], rows: Int) -> [Float] {
    let columns = values.count / rows
    return (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
  }

  /// Appends the value in the type, and returns what it was rounded to.
  private static func append(_ value: Double, _ type: DataType, to bytes: inout [UInt8]) -> Double {
    switch type {
    case .bfloat16:
      let rounded = BFloat16(roundedToOdd(value))
      append(rounded.bitPattern, to: &bytes)
      return Double(rounded.float)
    case .float16:
      let bits = roundedToOdd(value).float16Bits
      append(bits, to: &bytes)
      return Double(Float(float16Bits: bits))
    default:
      let rounded = Float(value)
      append(rounded.bitPattern, to: &bytes)
      return Double(rounded)
    }
  }

  private static func append<Bits: FixedWidthInteger>(_ bits: Bits, to bytes: inout [UInt8]) {
    for byte in 0..<Bits.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: bits >> Bits(8 * byte))) }
  }

  /// To the float next to zero, with its last bit set where something was cut off: rounding that once more to 22 bits or
  /// less gives what rounding the value at once would have given (Boldo and Melquiond, "Emulation of FMA and correctly
  /// rounded sums", 2008).
  static func roundedToOdd(_ value: Double) -> Float {
    let nearest = Float(value)
    if !nearest.isFinite || Double(nearest) == value { return nearest }
    let isAbove = abs(Double(nearest)) > abs(value)
    return Float(bitPattern: (isAbove ? nearest.bitPattern - 1 : nearest.bitPattern) | 1)
  }
}

internal import Compute
internal import JSON
internal import Numerics

extension LinearWriter {
  /// The layouts are drawn at the reader.
  func compressedTensors(
    _ given: LinearWeight.Store, _ correction: LowRankCorrection?
  ) throws(QuantizationError) -> [ModuleTensor] {
    var tensors: [ModuleTensor]
    switch try given.asIntegers(module) {
    case .dense(let weight): tensors = [ModuleTensor("weight", weight)]
    case .integer(let weight): tensors = try compressed(weight)
    case .float8(let weight): tensors = compressed(weight)
    case .spqr(let weight): tensors = compressed(weight)
    case .sparse(let weight): tensors = compressed(weight)
    case .codebook, .blocks, .placed:
      throw refuse("it has no \(given.summary)")
    }
    if let correction {
      tensors += [ModuleTensor("correction_a", correction.a), ModuleTensor("correction_b", correction.b)]
    }
    return tensors
  }

  private func compressed(_ weight: IntegerWeight) throws(QuantizationError) -> [ModuleTensor] {
    var tensors = [ModuleTensor("weight_scale", weight.scales)]
    if weight.isPlainInt8 {
      let unsigned = WordLayouts.unpacked(weight.codes, bits: 8, count: weight.inputs, adding: 128)
      tensors.append(
        ModuleTensor("weight", Tensor(storage: unsigned.storage, shape: unsigned.shape, dataType: .int8)))
    } else {
      let shape = [Int64(weight.outputs), Int64(weight.inputs)]
      tensors.append(ModuleTensor("weight_packed", weight.codes))
      tensors.append(ModuleTensor("weight_shape", HostTensor.copy(shape, .int64, Shape(2))))
    }
    tensors += zeroPoints(weight.zero, bits: weight.bits)
    switch weight.order {
    case .natural: break
    case .grouped(let index): tensors.append(ModuleTensor("weight_g_idx", index))
    case .permuted(let order): tensors.append(ModuleTensor("weight_order", order))
    }
    if let outliers = weight.outliers {
      tensors += [
        ModuleTensor("outlier_idx", outliers.indices), ModuleTensor("outlier_weight", outliers.columns),
      ]
    }
    return tensors + inputScales(weight.activations)
  }

  func zeroPoints(_ zero: IntegerWeight.Zero, bits: Int) -> [ModuleTensor] {
    switch zero {
    case .midpoint: return []
    case .integers(let zeros):
      // Packed along the outputs: rows of words for each group, then turned.
      let words = WordLayouts.packed(WordLayouts.transposed(zeros), bits: bits)
      return [ModuleTensor("weight_zero_point", WordLayouts.transposed(words))]
    case .reals(let zeros): return [ModuleTensor("weight_zero_point", zeros)]
    }
  }

  func inputScales(_ activations: IntegerActivations?) -> [ModuleTensor] {
    guard case .tensor(let scale, let zero) = activations else { return [] }
    var tensors = [ModuleTensor("input_scale", HostTensor.floats([scale]))]
    if zero != 0 {
      tensors.append(ModuleTensor("input_zero_point", HostTensor.copy([zero], .int8, Shape(1))))
    }
    return tensors
  }

  private func compressed(_ weight: Float8Weight) -> [ModuleTensor] {
    let isTensor = weight.scales.shape.elementCount == 1 && weight.blockRows >= weight.outputs
    let scales =
      isTensor
      ? Tensor(storage: weight.scales.storage, shape: Shape(1), dataType: weight.scales.dataType)
      : weight.scales
    var tensors = [ModuleTensor("weight", weight.codes), ModuleTensor("weight_scale", scales)]
    if case .tensor(let scale) = weight.activations {
      tensors.append(ModuleTensor("input_scale", HostTensor.floats([scale])))
    }
    return tensors
  }

  /// gpuinfer's own extension; no other program reads it.
  private func compressed(_ weight: SpQRWeight) -> [ModuleTensor] {
    var tensors = [
      ModuleTensor("spqr_packed", weight.codes), ModuleTensor("spqr_scale_codes", weight.scaleCodes),
      ModuleTensor("spqr_zero_codes", weight.zeroCodes),
      ModuleTensor("spqr_scale_scale", weight.scaleGrid.scale),
      ModuleTensor("spqr_scale_zero", weight.scaleGrid.zero),
      ModuleTensor("spqr_zero_scale", weight.zeroGrid.scale),
      ModuleTensor("spqr_zero_zero", weight.zeroGrid.zero),
      ModuleTensor("spqr_row_starts", weight.outliers.rowStarts),
      ModuleTensor("spqr_columns", weight.outliers.columns),
      ModuleTensor("spqr_values", weight.outliers.values),
    ]
    if let order = weight.order { tensors.append(ModuleTensor("spqr_order", order)) }
    return tensors
  }
}

extension IntegerWeight {
  /// Whether compressed-tensors has it as int8 elements (`int-quantized`) rather than packed words.
  var isPlainInt8: Bool {
    guard case .natural = order, case .midpoint = zero, outliers == nil else { return false }
    return bits == 8 && activations != nil
  }
}

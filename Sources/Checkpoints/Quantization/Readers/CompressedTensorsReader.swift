internal import Compute
internal import Numerics

/// The layouts of compressed-tensors:
///
///     pack-quantized    weight_packed int32 [N, ceil(K · bits / 32)], weight_shape int [2], weight_scale [N, G],
///                       weight_zero_point int32 [ceil(N · bits / 32), G], weight_g_idx int32 [K]
///     int-quantized     weight int8 [N, K], weight_scale, weight_zero_point int8, input_scale, input_zero_point
///     float-quantized   weight E4M3 [N, K], weight_scale, input_scale
///
/// Packed codes and zeros are those of int8 plus 2^(bits − 1).
extension ModuleTensors {
  typealias Settings = LinearScheme.CompressedTensors

  func describeCompressed(
    _ scheme: LinearScheme, _ settings: Settings
  ) throws(QuantizationError) -> QuantizedLinear {
    switch settings.layout {
    case .packed:
      let (rows, _) = try matrix("weight_packed", [.int32])
      let entry = try entry("weight_shape", [.int64, .int32])
      guard entry.shape == [2] || entry.shape == [2, 1],
        let values = try? checkpoint.rawTensor(entry.name).integers(), values.count == 2
      else { throw .tensorShape(entry.name, found: entry.shape, expected: "[2]") }
      // What the shape claims is multiplied and allocated, so it must agree with what is there.
      guard values[0] == rows, values[1] > 0, values[1] <= 1 << 32,
        checkpoint.tensors["\(module).weight_packed"]?.shape[1]
          == PackedCodes.wordCount(Int(values[1]), bits: settings.bits)
      else {
        throw .tensorShape(
          "\(module).weight_packed", found: checkpoint.tensors["\(module).weight_packed"]?.shape ?? [],
          expected: "\(values[0]) rows of \(values[1]) codes of \(settings.bits) bits, as weight_shape says")
      }
      return linear(
        scheme, rows, Int(values[1]),
        [
          "weight_packed", "weight_shape", "weight_scale", "weight_zero_point", "weight_g_idx", "input_scale",
          "input_zero_point", "weight_order", "outlier_idx", "outlier_weight",
        ] + Self.corrections)
    case .sparsePacked(let pattern): return try describeSparse(scheme, pattern, settings)
    case .spqr:
      let (rows, _) = try matrix("spqr_packed", [.int32])
      let (_, groups) = try matrix("spqr_scale_scale", Self.scaleTypes)
      guard case .group(let size) = settings.strategy, size <= 1 << 20, groups <= 1 << 32 else {
        throw .missingField("weights.group_size")
      }
      return linear(scheme, rows, groups * size, Self.spqrSuffixes + Self.corrections)
    case .integers, .floats:
      let type: DataType = settings.layout == .floats ? .float8E4M3 : .int8
      let (outputs, inputs) = try matrix("weight", [type])
      return linear(
        scheme, outputs, inputs,
        ["weight", "weight_scale", "weight_zero_point", "weight_g_idx", "input_scale", "input_zero_point"]
          + Self.corrections)
    }
  }

  func readCompressed(
    _ linear: QuantizedLinear, _ settings: Settings
  ) throws(ReadFailure) -> LinearWeight.Store {
    switch settings.layout {
    case .packed, .integers: return .integer(try readIntegers(linear, settings))
    case .floats: return .float8(try readFloats(linear, settings))
    case .sparsePacked(let pattern): return .sparse(try readSparse(linear, pattern, settings))
    case .spqr(let bits, let rows): return .spqr(try readSpQR(linear, settings, bits, rows))
    }
  }

  // MARK: Integers

  private func readIntegers(
    _ linear: QuantizedLinear, _ settings: Settings
  ) throws(ReadFailure) -> IntegerWeight {
    let (outputs, inputs, bits) = (linear.outputs, linear.inputs, settings.bits)
    let groupSize = try groupSize(settings, inputs: inputs)
    let groups = inputs / groupSize
    let codes: Tensor
    if settings.layout == .packed {
      codes = try read("weight_packed", [.int32], [outputs, PackedCodes.wordCount(inputs, bits: bits)])
    } else {
      let values = try read("weight", [.int8], [outputs, inputs])
      guard let packed = WordLayouts.packed(signed: values, bits: bits) else {
        throw .quantization(
          .tensorType(
            "\(module).weight", found: "int8 beyond \(bits) bits", expected: "codes of \(bits) bits"))
      }
      codes = packed
    }
    let zero = try readZero(outputs, groups, settings)
    var order = IntegerWeight.Order.natural
    if settings.isGroupedByIndex { order = .grouped(try read("weight_g_idx", [.int32], [inputs])) }
    if has("weight_order") { order = .permuted(try read("weight_order", [.int32], [inputs])) }
    let outliers = try readOutliers(outputs)
    let (scales, activations) = (try readScales(outputs, groups, settings), try readActivations(settings))
    return try make { () throws(StoreError) in
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize, codes: codes, scales: scales,
        zero: zero, order: order, outliers: outliers, activations: activations)
    }
  }

  func readZero(
    _ outputs: Int, _ groups: Int, _ settings: Settings
  ) throws(ReadFailure) -> IntegerWeight.Zero {
    if settings.symmetric { return .midpoint }
    if checkpoint.tensors["\(module).weight_zero_point"]?.dataType.isFloatingPoint == true {
      return .reals(try read("weight_zero_point", Self.scaleTypes, [outputs, groups]))
    }
    return .integers(try readZeros(outputs, groups, settings.bits, settings))
  }

  /// gpuinfer's own: columns in 16 bits (OWQ).
  private func readOutliers(_ outputs: Int) throws(ReadFailure) -> OutlierColumns? {
    guard let count = checkpoint.tensors["\(module).outlier_idx"]?.elementCount else { return nil }
    return OutlierColumns(
      indices: try read("outlier_idx", [.int32], [count]),
      columns: try read("outlier_weight", Self.scaleTypes, [outputs, count]))
  }

  func groupSize(_ settings: Settings, inputs: Int) throws(ReadFailure) -> Int {
    switch settings.strategy {
    case .tensor, .channel: return inputs
    case .group(let size): return try groupSize(size, inputs: inputs)
    case .block:
      throw .quantization(
        .unsupported(
          "weights.strategy", found: "\"block\" with integers", supported: ["tensor", "channel", "group"]))
    }
  }

  /// `[N, G]`; one scale for the tensor is repeated.
  func readScales(
    _ outputs: Int, _ groups: Int, _ settings: Settings
  ) throws(ReadFailure) -> Tensor {
    guard settings.strategy == .tensor else {
      return try read("weight_scale", Self.scaleTypes, [outputs, groups])
    }
    return repeated(try readSingle("weight_scale", Self.scaleTypes), outputs)
  }

  private func repeated(_ single: Tensor, _ rows: Int) -> Tensor {
    let size = single.dataType.byteCount
    return unsafe HostTensor.make(single.dataType, Shape(rows, 1)) { bytes in
      for row in 0..<rows {
        unsafe bytes.baseAddress.map { base in
          unsafe (base + row * size).copyMemory(from: single.view.address, byteCount: size)
        }
      }
    }
  }

  /// One element, whether its tensor is a scalar or a vector of one.
  private func readSingle(_ suffix: String, _ types: [DataType]) throws(ReadFailure) -> Tensor {
    let raw = try raw(suffix, types)
    guard raw.elementCount == 1 else {
      throw .quantization(.tensorShape(raw.name, found: raw.shape, expected: "[1]"))
    }
    return unsafe Tensor(
      storage: Storage(borrowing: raw.bytes, owner: raw.owner), shape: Shape(1), dataType: raw.dataType)
  }

  /// uint8 `[N, G]`, from words along N or, as older writers have it, int8 `[N, G]`.
  private func readZeros(
    _ outputs: Int, _ groups: Int, _ bits: Int, _ settings: Settings
  ) throws(ReadFailure) -> Tensor {
    let name = "\(module).weight_zero_point"
    if checkpoint.tensors[name]?.dataType == .int32 {
      let words = try read(
        "weight_zero_point", [.int32], [PackedCodes.wordCount(outputs, bits: bits), groups])
      return WordLayouts.unpacked(WordLayouts.transposed(words), bits: bits, count: outputs).transposedBytes
    }
    let signed =
      settings.strategy == .tensor
      ? repeated(try readSingle("weight_zero_point", [.int8]), outputs)
      : try read("weight_zero_point", [.int8], [outputs, groups])
    let source = unsafe signed.view.address.assumingMemoryBound(to: Int8.self)
    let half = 1 << (bits - 1)
    let values = (0..<outputs * groups).map { unsafe Int(source[$0]) + half }
    for (index, value) in values.enumerated() where value < 0 || value >= 1 << bits {
      throw .store(.indexOutOfRange(operand: "zeros", index: index, value: value, limit: 1 << bits))
    }
    return HostTensor.copy(values.map { UInt8($0) }, .uint8, Shape(outputs, groups))
  }

  func readActivations(_ settings: Settings) throws(ReadFailure) -> IntegerActivations? {
    switch settings.activations {
    case nil: return nil
    case .token(let threshold): return .token(outlierThreshold: threshold)
    case .staticTensor(let symmetric):
      let scale = try readInputScale()
      guard !symmetric else { return .tensor(scale: scale, zero: 0) }
      let zero = try readSingle("input_zero_point", [.int8])
      return .tensor(scale: scale, zero: unsafe zero.view.address.load(as: Int8.self))
    case .group: throw .quantization(unsupportedGroups)
    }
  }

  private var unsupportedGroups: QuantizationError {
    .unsupported(
      "input_activations.strategy", found: "\"group\" with integers", supported: ["token", "tensor"])
  }

  private func readInputScale() throws(ReadFailure) -> Float {
    let scale = try readSingle("input_scale", Self.scaleTypes).float(at: 0)
    guard scale.isFinite, scale > 0 else { throw .store(.notFinite(operand: "input_scale", index: 0)) }
    return scale
  }

  // MARK: E4M3

  private func readFloats(_ linear: QuantizedLinear, _ settings: Settings) throws(ReadFailure) -> Float8Weight
  {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let codes = try read("weight", [.float8E4M3], [outputs, inputs])
    let (rows, columns): (Int, Int)
    let scales: Tensor
    switch settings.strategy {
    case .tensor:
      (rows, columns) = (outputs, inputs)
      let single = try readSingle("weight_scale", Self.scaleTypes)
      scales = Tensor(storage: single.storage, shape: Shape(1, 1), dataType: single.dataType)
    case .channel:
      (rows, columns) = (1, inputs)
      scales = try read("weight_scale", Self.scaleTypes, [outputs, 1])
    case .group(let size):
      (rows, columns) = (1, try groupSize(size, inputs: inputs))
      scales = try read("weight_scale", Self.scaleTypes, [outputs, inputs / columns])
    case .block(let blockRows, let blockColumns):
      (rows, columns) = (blockRows, blockColumns)
      scales = try read(
        "weight_scale", Self.scaleTypes,
        [(outputs + rows - 1) / rows, (inputs + columns - 1) / columns])
    }
    var activations: Float8Weight.Activations?
    switch settings.activations {
    case nil: break
    case .token: activations = .token
    case .group(let size): activations = .group(size: size)
    case .staticTensor: activations = .tensor(scale: try readInputScale())
    }
    return try make { () throws(StoreError) in
      try Float8Weight(
        outputs: outputs, inputs: inputs, codes: codes, scales: scales, blockRows: rows,
        blockColumns: columns, activations: activations)
    }
  }
}

extension Tensor {
  /// A uint8 matrix with rows and columns swapped.
  var transposedBytes: Tensor { WordLayouts.transposed(self) }
}

internal import Compute
internal import JSON
internal import Numerics

extension LinearWriter {
  /// The layouts are drawn at the reader.
  func compressed(_ weight: SparseWeight) -> [ModuleTensor] {
    let shape = [Int64(weight.outputs), Int64(weight.inputs)]
    var tensors = [ModuleTensor("bitmask", weight.mask)]
    switch weight.pattern {
    case .twoOfFour: tensors.append(ModuleTensor("shape", HostTensor.copy(shape, .int64, Shape(2, 1))))
    case .rows(let starts):
      tensors.append(ModuleTensor("shape", HostTensor.copy(shape, .int64, Shape(2))))
      tensors.append(ModuleTensor("row_offsets", starts))
    }
    switch weight.values {
    case .floats(let kept): tensors.append(ModuleTensor("compressed", kept))
    case .codes(let codes):
      tensors += [ModuleTensor("weight_packed", codes.words), ModuleTensor("weight_scale", codes.scales)]
      tensors += zeroPoints(codes.zero, bits: codes.bits) + inputScales(codes.activations)
    }
    return tensors
  }
}

extension SparseWeight {
  var patternName: LinearScheme.SparsePattern { isTwoOfFour ? .twoOfFour : .unstructured }

  /// compressed-tensors' name of the format; for float values.
  var floatFormat: String { isTwoOfFour ? "sparse-24-bitmask" : "sparse-bitmask" }
}

extension QuantizationConfigurationWriter {
  static func group(_ weight: SparseWeight) -> JSONObject {
    guard case .codes(let codes) = weight.values else {
      let kept = (0..<weight.outputs).reduce(0) { $0 + weight.keptCount(row: $1) }
      let zeros = 1 - Double(kept) / Double(weight.outputs * weight.inputs)
      return ["format": .string(weight.floatFormat), "sparsity": .double(zeros)]
    }
    var isSymmetric = true
    if case .midpoint = codes.zero {} else { isSymmetric = false }
    let isChannel = codes.groupSize == weight.inputs
    return entry(
      [
        "num_bits": .integer(Int64(codes.bits)), "type": "int", "symmetric": .bool(isSymmetric),
        "strategy": isChannel ? "channel" : "group",
        "group_size": isChannel ? .null : .integer(Int64(codes.groupSize)), "dynamic": false,
        "sparsity": .string(weight.patternName.rawValue),
      ], format: "sparse-pack-quantized", activations: codes.activations.map(activations))
  }

  /// `sparsity_config` of layers with sparse floats, as compressed-tensors has it but for "mixed-sparse".
  func sparsity(_ entries: [JSONObject], ignored: [String]) -> JSONObject {
    let formats = Set(entries.compactMap { $0["format"]?.string })
    let format = formats.count == 1 ? formats.first ?? "" : "mixed-sparse"
    let zeros = entries.compactMap { $0["sparsity"]?.double }.reduce(0, +) / Double(max(entries.count, 1))
    return [
      "format": .string(format), "global_sparsity": .double(zeros),
      "sparsity_structure": format == "sparse-24-bitmask" ? "2:4" : "unstructured",
      "targets": ["Linear"], "ignore": .array(ignored.map { .string($0) }),
    ]
  }
}

package import Compute
package import JSON
internal import Models
internal import Numerics

/// The tensors and the configuration of compressed-tensors (https://github.com/vllm-project/compressed-tensors):
///
///     pack-quantized   weight_packed int32 [N, ceil(K·b/32)]   weight_scale [N, G]   weight_shape int64 [2]
///                      weight_zero_point int32 [ceil(N·b/32), G], packed along N     weight_g_idx int32 [K]
///     int-quantized    weight int8 [N, K] = code − 128         weight_scale [N, G]
///     beside them, gpuinfer's own:  outlier_idx int32 [n]  outlier_weight [N, n]     correction_a [r, K]  correction_b [N, r]
package enum CompressedTensorsLayout {
  package static func tensors(
    of store: LinearWeight.Store, correction: LowRankCorrection?
  ) -> [(suffix: String, tensor: Tensor)] {
    var tensors: [(suffix: String, tensor: Tensor)] = []
    switch store {
    case .integer(let weight): tensors = integer(weight)
    case .dense(let tensor): tensors = [("weight", tensor)]
    case .spqr(let weight): tensors = spqr(weight)
    case .float8, .codebook, .blocks, .placed: preconditionFailure("no method makes \(store.summary)")
    }
    if let correction {
      tensors += [("correction_a", correction.a), ("correction_b", correction.b)]
    }
    return tensors
  }

  /// Whether a store is written as int8 elements instead of packed words.
  static func isPlain(_ weight: IntegerWeight) -> Bool {
    guard case .natural = weight.order, case .midpoint = weight.zero else { return false }
    return weight.bits == 8 && weight.activations != nil
  }

  private static func integer(_ weight: IntegerWeight) -> [(suffix: String, tensor: Tensor)] {
    let (rows, columns) = (weight.outputs, weight.inputs)
    var tensors: [(suffix: String, tensor: Tensor)] = [("weight_scale", weight.scales)]
    if isPlain(weight) {
      var elements: [Int8] = []
      elements.reserveCapacity(rows * columns)
      for row in 0..<rows {
        elements += weight.codes(ofRow: row).map { Int8(truncatingIfNeeded: Int($0) - 128) }
      }
      tensors.append(("weight", HostTensor.copy(elements, .int8, Shape(rows, columns))))
    } else {
      tensors.append(("weight_packed", weight.codes))
      tensors.append(("weight_shape", HostTensor.copy([Int64(rows), Int64(columns)], .int64, Shape(2))))
    }
    switch weight.zero {
    case .midpoint: break
    case .integers(let zeros):
      tensors.append(("weight_zero_point", packedAlongRows(zeros, bits: weight.bits, weight)))
    case .reals(let zeros): tensors.append(("weight_zero_point", zeros))
    }
    switch weight.order {
    case .natural: break
    case .grouped(let index): tensors.append(("weight_g_idx", index))
    case .permuted(let order): tensors.append(("weight_order", order))
    }
    if let outliers = weight.outliers {
      tensors += [("outlier_idx", outliers.indices), ("outlier_weight", outliers.columns)]
    }
    return tensors
  }

  private static func packedAlongRows(_ zeros: Tensor, bits: Int, _ weight: IntegerWeight) -> Tensor {
    let words = PackedCodes.wordCount(weight.outputs, bits: bits)
    var packed = [UInt32](repeating: 0, count: words * weight.groups)
    for group in 0..<weight.groups {
      let column = (0..<weight.outputs).map { UInt8(zeros.integer(at: $0 * weight.groups + group)) }
      for (word, value) in PackedCodes.pack(column, bits: bits).enumerated() {
        packed[word * weight.groups + group] = value
      }
    }
    return HostTensor.copy(packed, .int32, Shape(words, weight.groups))
  }

  private static func spqr(_ weight: SpQRWeight) -> [(suffix: String, tensor: Tensor)] {
    var tensors: [(suffix: String, tensor: Tensor)] = [
      ("spqr_packed", weight.codes), ("spqr_scale_codes", weight.scaleCodes),
      ("spqr_zero_codes", weight.zeroCodes), ("spqr_scale_scale", weight.scaleGrid.scale),
      ("spqr_scale_zero", weight.scaleGrid.zero), ("spqr_zero_scale", weight.zeroGrid.scale),
      ("spqr_zero_zero", weight.zeroGrid.zero), ("spqr_row_starts", weight.outliers.rowStarts),
      ("spqr_columns", weight.outliers.columns), ("spqr_values", weight.outliers.values),
    ]
    if let order = weight.order { tensors.append(("spqr_order", order)) }
    return tensors
  }

  // MARK: config.json

  /// `quantization_config` for these modules; those left alone, or dense, are listed in "ignore".
  package static func configuration(_ sites: [SiteReport]) -> JSONValue {
    var groups: [(key: String, targets: [String], entry: JSONObject)] = []
    var ignored: [JSONValue] = [.string("lm_head")]
    for site in sites {
      guard let entry = site.group?.object else {
        ignored.append(.string(site.module))
        continue
      }
      let key = JSONValue.object(entry).serialized()
      if let index = groups.firstIndex(where: { $0.key == key }) {
        groups[index].targets.append(site.module)
      } else {
        groups.append((key, [site.module], entry))
      }
    }
    var all: JSONObject = [:]
    for (index, group) in groups.enumerated() {
      var entry = group.entry
      // "Linear" means every linear layer that is not ignored; names are needed where layers differ.
      entry["targets"] = groups.count == 1 ? ["Linear"] : .array(group.targets.map { .string($0) })
      all["group_\(index)"] = .object(entry)
    }
    let formats = Set(groups.compactMap { $0.entry["format"]?.string })
    return [
      "quant_method": "compressed-tensors",
      "format": .string(formats.count == 1 ? formats.first ?? "pack-quantized" : "mixed-precision"),
      "quantization_status": "compressed", "config_groups": .object(all), "ignore": .array(ignored),
      "kv_cache_scheme": nil, "global_compression_ratio": nil,
    ]
  }

  /// The entry of `config_groups` for a store, but for its targets; nil for dense weights.
  static func group(of store: LinearWeight.Store) -> JSONObject? {
    switch store {
    case .integer(let weight): group(weight)
    case .spqr(let weight):
      [
        "targets": ["Linear"], "input_activations": nil, "output_activations": nil, "format": "spqr",
        "weights": [
          "num_bits": .integer(Int64(weight.bits)), "type": "int", "symmetric": false, "strategy": "group",
          "group_size": .integer(Int64(weight.groupSize)),
          "statistic_bits": .integer(Int64(weight.statisticBits)),
          "block_rows": .integer(Int64(weight.blockRows)),
        ],
      ]
    case .dense, .float8, .codebook, .blocks, .placed: nil
    }
  }

  private static func group(_ weight: IntegerWeight) -> JSONObject {
    var isSymmetric = true
    if case .midpoint = weight.zero {} else { isSymmetric = false }
    var arguments: JSONObject = [
      "num_bits": .integer(Int64(weight.bits)), "type": "int", "symmetric": .bool(isSymmetric),
      "strategy": weight.groupSize == weight.inputs ? "channel" : "group", "dynamic": false,
      "observer": "minmax",
    ]
    arguments["group_size"] = weight.groupSize == weight.inputs ? .null : .integer(Int64(weight.groupSize))
    if case .grouped = weight.order { arguments["actorder"] = "group" } else { arguments["actorder"] = .null }
    var activations: JSONValue = .null
    if case .token(let threshold)? = weight.activations {
      var entry: JSONObject = [
        "num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true,
      ]
      // Not a field of the format: others read plain dynamic int8.
      if let threshold { entry["outlier_threshold"] = .double(Double(threshold)) }
      activations = .object(entry)
    }
    return [
      "targets": ["Linear"], "weights": .object(arguments), "input_activations": activations,
      "output_activations": nil, "format": .string(isPlain(weight) ? "int-quantized" : "pack-quantized"),
    ]
  }
}

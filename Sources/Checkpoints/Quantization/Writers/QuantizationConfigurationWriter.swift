package import Compute
package import JSON

/// Gathers what `quantization_config` has to say about the layers written so far.
package struct QuantizationConfigurationWriter {
  package let format: CheckpointFormat
  /// In the order they came.
  private var entries: [(module: String, entry: JSONObject)] = []
  private var dense: [String] = []

  package init(format: CheckpointFormat) { self.format = format }

  package mutating func add(_ module: String, _ store: LinearWeight.Store) throws(QuantizationError) {
    let store = try store.asIntegers(module)
    if case .dense = store { dense.append(module) }
    if let entry = Self.entry(of: store, format: format) { entries.append((module, entry)) }
  }

  /// What `entry(of:format:)` gave for the layer.
  package mutating func add(_ module: String, entry: JSONObject) { entries.append((module, entry)) }

  /// What the format's configuration says of a store; nil for a dense one, and for what the format does not hold.
  ///
  /// For compressed-tensors the entry of `config_groups`, but for its targets, or for a sparse store of floats what
  /// `sparsity_config` says.
  package static func entry(of store: LinearWeight.Store, format: CheckpointFormat) -> JSONObject? {
    switch format {
    case .compressedTensors: compressedTensorsEntry(of: store)
    case .gptq, .gptqV2, .awq: if case .integer(let weight) = store { values(weight) } else { nil }
    case .dense: nil
    }
  }

  private static func compressedTensorsEntry(of store: LinearWeight.Store) -> JSONObject? {
    switch store {
    case .integer(let weight): group(weight)
    case .float8(let weight): group(weight)
    case .spqr(let weight): group(weight)
    case .sparse(let weight): group(weight)
    case .dense, .codebook, .blocks, .placed: nil
    }
  }

  /// A linear layer that stays as it was.
  package mutating func addDense(_ module: String) { dense.append(module) }

  package var json: JSONValue {
    switch format {
    case .compressedTensors: compressedTensors
    case .gptq, .gptqV2: gptq
    case .awq: awq
    case .dense: .null
    }
  }

  // MARK: GPTQ and AWQ

  private static func values(_ weight: IntegerWeight) -> JSONObject {
    let isSymmetric = if case .midpoint = weight.zero { true } else { false }
    let isReordered = if case .natural = weight.order { false } else { true }
    return [
      "bits": .integer(Int64(weight.bits)),
      "group_size": .integer(weight.groupSize == weight.inputs ? -1 : Int64(weight.groupSize)),
      "sym": .bool(isSymmetric), "desc_act": .bool(isReordered),
    ]
  }

  private var gptq: JSONValue {
    // What most layers are is said once, the others by name. Loaders that are told of no order ignore `g_idx`.
    let isReordered = entries.contains { $0.entry["desc_act"] == true }
    let entries = entries.map { entry in
      var values = entry.entry
      values["desc_act"] = .bool(isReordered)
      return (module: entry.module, entry: values)
    }
    let common = Self.commonest(entries.map(\.entry)) ?? [:]
    var json: JSONObject = ["quant_method": "gptq"]
    for (key, value) in common { json[key] = value }
    json["static_groups"] = .bool(false)
    json["lm_head"] = .bool(entries.contains { $0.module.hasSuffix("lm_head") })
    json["pack_dtype"] = "int32"
    json["checkpoint_format"] = format == .gptq ? "gptq" : "gptq_v2"
    var dynamic: JSONObject = [:]
    for (module, entry) in entries where entry != common {
      dynamic["+:^" + Self.escaped(module) + "$"] = .object(entry)
    }
    // Loaders take every linear layer but the output for quantised, unless they are told.
    for module in dense where !module.hasSuffix("lm_head") {
      dynamic["-:^" + Self.escaped(module) + "$"] = [:]
    }
    if !dynamic.isEmpty { json["dynamic"] = .object(dynamic) }
    return .object(json)
  }

  private var awq: JSONValue {
    [
      "quant_method": "awq", "bits": 4, "group_size": entries.first?.entry["group_size"] ?? -1,
      "zero_point": true, "version": "gemm",
      "modules_to_not_convert": dense.isEmpty ? .null : .array(dense.map { .string($0) }),
    ]
  }

  /// AWQ has one group size for all layers.
  package func validate() throws(QuantizationError) {
    guard format == .awq, let first = entries.first else { return }
    for (module, entry) in entries where entry["group_size"] != first.entry["group_size"] {
      throw .cannotHold(
        module: module, format: format.rawValue,
        reason: "all layers have one group size, and \(first.module) has another")
    }
  }

  private static func commonest(_ entries: [JSONObject]) -> JSONObject? {
    entries.max { a, b in entries.count { $0 == a } < entries.count { $0 == b } }
  }

  private static func escaped(_ module: String) -> String {
    module.split(separator: ".", omittingEmptySubsequences: false).joined(separator: "\\.")
  }

  // MARK: compressed-tensors

  private var compressedTensors: JSONValue {
    var groups: [(entry: JSONObject, targets: [String])] = []
    let sparse = entries.filter { $0.entry["weights"] == nil }
    let coded = entries.filter { $0.entry["weights"] != nil }
    for (module, entry) in coded {
      if let index = groups.firstIndex(where: { $0.entry == entry }) {
        groups[index].targets.append(module)
      } else {
        groups.append((entry, [module]))
      }
    }
    var all: JSONObject = [:]
    for (index, group) in groups.enumerated() {
      var entry = group.entry
      // "Linear" means every linear layer that is not ignored; names are needed where layers differ.
      entry["targets"] = groups.count == 1 ? ["Linear"] : .array(group.targets.map { .string($0) })
      all["group_\(index)"] = .object(entry)
    }
    let formats = groups.compactMap { $0.entry["format"]?.string }
    let format = Set(formats).count > 1 ? "mixed-precision" : formats.first ?? "dense"
    // A layer with sparse floats is none of "Linear" with codes, and the reverse.
    let ignored = dense + (coded.isEmpty ? [] : sparse.map(\.module))
    var json: JSONObject = [
      "quant_method": "compressed-tensors", "format": .string(format), "quantization_status": "compressed",
      "global_compression_ratio": nil, "kv_cache_scheme": nil,
      "ignore": .array(ignored.map { .string($0) }), "config_groups": .object(all),
    ]
    if !sparse.isEmpty {
      json["sparsity_config"] = .object(sparsity(sparse.map(\.entry), ignored: dense + coded.map(\.module)))
    }
    return .object(json)
  }

  private static func group(_ weight: IntegerWeight) -> JSONObject {
    let isSymmetric = if case .midpoint = weight.zero { true } else { false }
    let isChannel = weight.groupSize == weight.inputs
    var arguments: JSONObject = [
      "num_bits": .integer(Int64(weight.bits)), "type": "int", "symmetric": .bool(isSymmetric),
      "strategy": isChannel ? "channel" : "group",
      "group_size": isChannel ? .null : .integer(Int64(weight.groupSize)), "dynamic": false,
      "actorder": nil,
    ]
    if case .grouped = weight.order { arguments["actorder"] = "group" }
    return entry(
      arguments, format: weight.isPlainInt8 ? "int-quantized" : "pack-quantized",
      activations: weight.activations.map(Self.activations))
  }

  static func activations(_ rule: IntegerActivations) -> JSONObject {
    switch rule {
    case .token(let threshold):
      var entry: JSONObject = [
        "num_bits": 8, "type": "int", "strategy": "token", "symmetric": true, "dynamic": true,
      ]
      // gpuinfer's own: others do without, as plain dynamic int8.
      if let threshold { entry["outlier_threshold"] = .double(Double(threshold)) }
      return entry
    case .tensor(_, let zero):
      return [
        "num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": .bool(zero == 0), "dynamic": false,
      ]
    }
  }

  private static func group(_ weight: Float8Weight) -> JSONObject {
    var arguments: JSONObject = ["num_bits": 8, "type": "float", "symmetric": true, "dynamic": false]
    if weight.blockRows >= weight.outputs, weight.blockColumns >= weight.inputs {
      arguments["strategy"] = "tensor"
    } else if weight.blockRows > 1 {
      arguments["strategy"] = "block"
      arguments["block_structure"] = [
        .integer(Int64(weight.blockRows)), .integer(Int64(weight.blockColumns)),
      ]
    } else if weight.blockColumns >= weight.inputs {
      arguments["strategy"] = "channel"
    } else {
      arguments["strategy"] = "group"
      arguments["group_size"] = .integer(Int64(weight.blockColumns))
    }
    let activations: JSONObject? =
      switch weight.activations {
      case nil: nil
      case .token: ["num_bits": 8, "type": "float", "strategy": "token", "symmetric": true, "dynamic": true]
      case .tensor:
        ["num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true, "dynamic": false]
      case .group(let size):
        [
          "num_bits": 8, "type": "float", "strategy": "group", "symmetric": true, "dynamic": true,
          "group_size": .integer(Int64(size)),
        ]
      }
    return entry(arguments, format: "float-quantized", activations: activations)
  }

  private static func group(_ weight: SpQRWeight) -> JSONObject {
    entry(
      [
        "num_bits": .integer(Int64(weight.bits)), "type": "int", "symmetric": false, "strategy": "group",
        "group_size": .integer(Int64(weight.groupSize)),
        "statistic_bits": .integer(Int64(weight.statisticBits)),
        "block_rows": .integer(Int64(weight.blockRows)),
      ], format: "spqr", activations: nil)
  }

  static func entry(_ weights: JSONObject, format: String, activations: JSONObject?) -> JSONObject {
    [
      "weights": .object(weights), "input_activations": activations.map { .object($0) } ?? .null,
      "output_activations": nil, "format": .string(format),
    ]
  }
}

internal import JSON

/// The configuration of compressed-tensors, which llm-compressor writes and vLLM reads.
struct CompressedTensorsSettings: Sendable {
  /// A name, a class name, or "re:" and a pattern.
  enum Target: Sendable {
    case name(String)
    case pattern(ModulePattern)

    func matches(_ module: String) -> Bool {
      switch self {
      // Every module that is asked about is a linear layer.
      case .name("Linear"): true
      case .name(let name): name == module
      case .pattern(let pattern): pattern.matches(module)
      }
    }
  }

  struct Group: Sendable {
    let targets: [Target]
    let scheme: LinearScheme.CompressedTensors
  }

  /// `sparsity_config`: masks beside float values. `pattern` nil: each module's tensors say which.
  struct Sparsity: Sendable {
    let pattern: LinearScheme.SparsePattern?
    let ignored: [Target]
  }

  let groups: [Group]
  let ignored: [Target]
  let sparsity: Sparsity?

  init(_ fields: QuantizationFields) throws(QuantizationError) {
    if let status = try fields.string("quantization_status"), status != "compressed" {
      throw fields.unsupported("quantization_status", "\"\(status)\"", ["compressed"])
    }
    sparsity = try Self.sparsity(fields)
    if let transforms = try fields.fields("transform_config"), transforms.json.object?.isEmpty == false,
      try transforms.fields("config_groups")?.json.object?.isEmpty == false
    {
      throw fields.unsupported("transform_config", "not empty", ["{}"])
    }
    ignored = try Self.targets(fields, "ignore")
    let format = try fields.string("format")
    // A model that is only sparse has none.
    let found = try fields.fields("config_groups")
    let all =
      try sparsity == nil
      ? fields.required("config_groups", found) : found ?? QuantizationFields(.object([:]), path: fields.path)
    var groups: [Group] = []
    for (key, _) in all.json.object ?? [:] {
      let group = try all.required(key, try all.fields(key))
      groups.append(
        Group(
          targets: try Self.targets(group, "targets"),
          scheme: try Self.scheme(group, format: try group.string("format") ?? format)))
    }
    self.groups = groups
  }

  /// The formats of `sparsity_config`; "mixed-sparse" is gpuinfer's own.
  private static func sparsity(_ fields: QuantizationFields) throws(QuantizationError) -> Sparsity? {
    guard let sparsity = try fields.fields("sparsity_config") else { return nil }
    let ignored = try targets(sparsity, "ignore")
    switch try sparsity.string("format") {
    case nil, "dense": return nil
    case "sparse-24-bitmask": return Sparsity(pattern: .twoOfFour, ignored: ignored)
    case "sparse-bitmask": return Sparsity(pattern: .unstructured, ignored: ignored)
    case "mixed-sparse": return Sparsity(pattern: nil, ignored: ignored)
    case let format?:
      throw sparsity.unsupported(
        "format", "\"\(format)\"", ["dense", "sparse-24-bitmask", "sparse-bitmask", "mixed-sparse"])
    }
  }

  private static func targets(_ fields: QuantizationFields, _ name: String) throws(QuantizationError)
    -> [Target]
  {
    var targets: [Target] = []
    for text in try fields.strings(name) {
      targets.append(
        text.hasPrefix("re:")
          ? .pattern(try fields.pattern(name, String(text.dropFirst(3)))) : .name(text))
    }
    return targets
  }

  /// The scheme of a module, held against the tensors it has.
  func scheme(for module: String, has: (String) -> Bool) throws(QuantizationError) -> LinearScheme? {
    let isIgnored = ignored.contains { $0.matches(module) }
    // A target that names the module or matches it goes before the class.
    let named = groups.first { group in
      group.targets.contains { target in
        if case .name("Linear") = target { false } else { target.matches(module) }
      }
    }
    let group = isIgnored ? nil : named ?? groups.first { $0.targets.contains { $0.matches(module) } }
    let marks = [".weight_scale", ".spqr_packed"]
    let scaled = marks.contains { has(module + $0) }
    if has(module + ".bitmask"), let scheme = try sparseScheme(module, group, scaled, has) { return scheme }
    guard let group else {
      if scaled {
        throw .contradiction(
          module: module, tensor: module + ".weight_scale",
          reason: isIgnored ? "\"ignore\" names the module" : "no target matches the module")
      }
      return nil
    }
    guard scaled else {
      throw .contradiction(
        module: module, tensor: module + ".weight_scale",
        reason: "the tensor is missing, though a target of config_groups matches the module")
    }
    return .compressedTensors(group.scheme)
  }

  /// The scheme of a module that has a mask; nil where it is in the group's own format.
  private func sparseScheme(
    _ module: String, _ group: Group?, _ scaled: Bool, _ has: (String) -> Bool
  ) throws(QuantizationError) -> LinearScheme? {
    if let group, case .sparsePacked = group.scheme.layout { return nil }
    if scaled {
      throw .contradiction(
        module: module, tensor: module + ".bitmask",
        reason: "a mask beside dense codes is not supported; sparse-pack-quantized is")
    }
    guard let sparsity, !sparsity.ignored.contains(where: { $0.matches(module) }) else {
      throw .contradiction(
        module: module, tensor: module + ".bitmask",
        reason: sparsity == nil
          ? "there is no sparsity_config" : "\"ignore\" of sparsity_config names the module")
    }
    return .sparse(sparsity.pattern ?? (has(module + ".row_offsets") ? .unstructured : .twoOfFour))
  }

  // MARK: One group

  private static func scheme(
    _ group: QuantizationFields, format: String?
  ) throws(QuantizationError) -> LinearScheme.CompressedTensors {
    if group.value("output_activations") != nil {
      throw group.unsupported("output_activations", "an object", ["null"])
    }
    let weights = try group.required("weights", try group.fields("weights"))
    let type = try weights.string("type") ?? "int"
    guard type == "int" || type == "float" else {
      throw weights.unsupported("type", "\"\(type)\"", ["int", "float"])
    }
    let layout = try layout(group, format, type)
    let bits = try weights.integer("num_bits") ?? 8
    let allowed = layout == .floats ? [8] : [2, 3, 4, 8]
    guard allowed.contains(bits) else {
      throw weights.unsupported("num_bits", "\(bits)", allowed.map(String.init))
    }
    let symmetric = try weights.bool("symmetric") ?? true
    if layout == .floats, !symmetric { throw weights.unsupported("symmetric", "false", ["true"]) }
    if let dynamic = weights.value("dynamic"), dynamic.bool != false {
      throw weights.unsupported("dynamic", dynamic.serialized(), ["false"])
    }
    let order = weights.value("actorder").flatMap { $0.bool == false ? nil : $0 }
    switch order?.string {
    case nil where order != nil:
      throw weights.unsupported(
        "actorder", order?.serialized() ?? "", ["null", "weight", "static", "group", "dynamic"])
    case nil, "weight", "static", "group", "dynamic": break
    case let other?:
      throw weights.unsupported("actorder", "\"\(other)\"", ["null", "weight", "static", "group", "dynamic"])
    }
    return LinearScheme.CompressedTensors(
      layout: layout, bits: bits, symmetric: symmetric, strategy: try strategy(weights),
      isGroupedByIndex: order?.string == "group" || order?.string == "dynamic",
      activations: try activations(group, layout))
  }

  private static func layout(
    _ group: QuantizationFields, _ format: String?, _ type: String
  ) throws(QuantizationError) -> LinearScheme.CompressedTensors.Layout {
    switch (format, type) {
    case ("pack-quantized", "int"): return .packed
    case ("int-quantized", "int"), ("naive-quantized", "int"): return .integers
    case ("float-quantized", "float"), ("naive-quantized", "float"): return .floats
    case ("sparse-pack-quantized", "int"):
      let weights = try group.required("weights", try group.fields("weights"))
      let name = try weights.string("sparsity") ?? ""
      guard let pattern = LinearScheme.SparsePattern(rawValue: name) else {
        throw weights.unsupported(
          "sparsity", "\"\(name)\"", LinearScheme.SparsePattern.allCases.map(\.rawValue))
      }
      return .sparsePacked(pattern)
    case ("spqr", "int"):
      let weights = try group.required("weights", try group.fields("weights"))
      return .spqr(
        statisticBits: try weights.required("statistic_bits", try weights.integer("statistic_bits")),
        blockRows: try weights.required("block_rows", try weights.integer("block_rows")))
    case (nil, _): throw .missingField(group.path + "format")
    case (let format?, _):
      throw group.unsupported(
        "format", "\"\(format)\" of \(type) weights",
        [
          "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "sparse-pack-quantized",
          "spqr",
        ])
    }
  }

  private static func strategy(
    _ weights: QuantizationFields
  ) throws(QuantizationError) -> LinearScheme.CompressedTensors.Strategy {
    let size = try weights.groupSize()
    switch try weights.string("strategy") ?? (size == nil ? "tensor" : "group") {
    case "tensor": return .tensor
    case "channel": return .channel
    case "group": return .group(try weights.required("group_size", size))
    case "block":
      let sizes = weights.value("block_structure")?.array?.compactMap(\.int) ?? []
      guard sizes.count == 2, sizes[0] > 0, sizes[1] > 0 else {
        throw weights.bad("block_structure", "two positive integers")
      }
      return .block(rows: sizes[0], columns: sizes[1])
    case let other:
      throw weights.unsupported("strategy", "\"\(other)\"", ["tensor", "channel", "group", "block"])
    }
  }

  private static func activations(
    _ group: QuantizationFields, _ layout: LinearScheme.CompressedTensors.Layout
  ) throws(QuantizationError) -> LinearScheme.CompressedTensors.Activations? {
    guard let fields = try group.fields("input_activations") else { return nil }
    let type = layout == .floats ? "float" : "int"
    if let found = try fields.string("type"), found != type {
      throw fields.unsupported("type", "\"\(found)\" with \(type) weights", [type])
    }
    let bits = try fields.integer("num_bits") ?? 8
    guard bits == 8 else { throw fields.unsupported("num_bits", "\(bits)", ["8"]) }
    let dynamic = fields.value("dynamic")
    guard dynamic == nil || dynamic?.bool != nil else {
      throw fields.unsupported("dynamic", dynamic?.serialized() ?? "", ["true", "false"])
    }
    let symmetric = try fields.bool("symmetric") ?? true
    let strategy = try fields.string("strategy") ?? "tensor"
    switch (strategy, dynamic?.bool ?? false) {
    case ("token", true) where symmetric:
      let threshold = layout == .floats ? nil : try fields.number("outlier_threshold")
      return .token(outlierThreshold: threshold.map { Float($0) })
    case ("tensor", false): return .staticTensor(symmetric: symmetric)
    case ("group", true) where layout == .floats:
      return .group(try fields.required("group_size", try fields.groupSize()))
    default:
      throw fields.unsupported(
        "strategy",
        "\"\(strategy)\", dynamic \(dynamic?.bool ?? false), symmetric \(symmetric), \(type)",
        ["token (dynamic, symmetric)", "tensor (static)", "group (dynamic, float)"])
    }
  }
}

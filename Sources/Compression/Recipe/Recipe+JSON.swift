internal import CPUBackend
internal import Compute
package import JSON

/// A recipe in a file, field for field what the flags say:
///
///     {"method": "gptq", "bits": 4, "group_size": 128, "act_order": "static",
///      "overrides": [{"pattern": "*.down_proj", "bits": 8}, {"pattern": "layers.0.*", "skip": true}]}
extension Recipe {
  package struct FieldProblem: Error, Equatable, CustomStringConvertible, Sendable {
    package let field: String
    package let expected: String
    package var description: String { "recipe: \"\(field)\" is not \(expected)" }
  }

  package init(_ json: JSONValue) throws(FieldProblem) {
    guard let object = json.object else { throw FieldProblem(field: "recipe", expected: "an object") }
    guard let name = object["method"]?.string, let method = MethodRegistry.method(named: name) else {
      let known = MethodRegistry.methods.map(\.name).joined(separator: ", ")
      throw FieldProblem(field: "method", expected: "one of: \(known)")
    }
    self = method.defaults
    for (key, value) in object { try set(key, value) }
  }

  private mutating func set(_ key: String, _ value: JSONValue) throws(FieldProblem) {
    switch key {
    case "method": break
    case "bits": scheme.bits = value.isNull ? nil : try Self.bits(key, value)
    case "group_size": scheme.groupSize = try Self.groupSize(key, value)
    case "grid": scheme.convention = try Self.choice(key, value)
    case "activations": scheme.activations = try Self.choice(key, value)
    case "sparsity": scheme.sparsity = try Self.sparsity(key, value)
    case "act_order": options.actOrder = try Self.choice(key, value)
    case "static_groups": options.staticGroups = try Self.flag(key, value)
    case "block_size": options.blockSize = try Self.integer(key, value, 1...256)
    case "damping": options.damping = try Self.number(key, value, 0...1000)
    case "smoothing": options.smoothing = value.isNull ? nil : try Self.number(key, value, 0...1)
    case "search_steps": options.searchSteps = try Self.integer(key, value, 1...1000)
    case "clip": options.clips = try Self.flag(key, value)
    case "rank": options.rank = try Self.integer(key, value, 0...4096)
    case "outlier_columns": options.outlierColumns = try Self.number(key, value, 0...1)
    case "outlier_threshold": options.outlierThreshold = try Self.number(key, value, 0...1e9)
    case "true_sequential": options.trueSequential = try Self.flag(key, value)
    case "prune_heads": options.prunedHeads = try Self.number(key, value, 0...1)
    case "prune_channels": options.prunedChannels = try Self.number(key, value, 0...1)
    case "prune_hidden": options.prunedHidden = try Self.number(key, value, 0...1)
    case "prune_layers": options.prunedLayers = try Self.number(key, value, 0...1)
    case "error_budget": options.errorBudget = value.isNull ? nil : try Self.number(key, value, 0...1)
    case "budget_bytes": budgetBytes = try Self.integer(key, value, 1...Int.max)
    case "candidate_bits":
      var bits: [Int] = []
      for element in value.array ?? [] { bits.append(try Self.bits(key, element)) }
      guard !bits.isEmpty else { throw FieldProblem(field: key, expected: "an array of bits") }
      candidateBits = bits
    case "overrides":
      guard let list = value.array else { throw FieldProblem(field: key, expected: "an array") }
      for element in list { overrides.append(try Self.override(element)) }
    default:
      throw FieldProblem(
        field: key,
        expected: "a known field: method, bits, group_size, grid, activations, sparsity, "
          + "act_order, static_groups, block_size, damping, smoothing, search_steps, clip, rank, "
          + "outlier_columns, outlier_threshold, true_sequential, prune_heads, prune_channels, prune_layers, error_budget, budget_bytes, candidate_bits, overrides"
      )
    }
  }

  private static func bits(_ key: String, _ value: JSONValue) throws(FieldProblem) -> Int {
    guard let bits = value.int, IntegerWeight.supportedBits.contains(bits) else {
      throw FieldProblem(field: key, expected: "2, 3, 4 or 8")
    }
    return bits
  }

  private static func override(_ json: JSONValue) throws(FieldProblem) -> Override {
    guard let object = json.object, let pattern = object["pattern"]?.string else {
      throw FieldProblem(field: "overrides", expected: "an array of objects with a \"pattern\"")
    }
    var result = Override(pattern: pattern)
    for (key, value) in object {
      let field = "overrides." + key
      switch key {
      case "pattern": break
      case "skip": result.skip = try flag(field, value)
      case "bits": result.bits = try bits(field, value)
      case "group_size": result.groupSize = try groupSize(field, value) ?? 0
      case "sparsity": result.sparsity = try sparsity(field, value)
      default: throw FieldProblem(field: field, expected: "pattern, skip, bits, group_size or sparsity")
      }
    }
    return result
  }

  private static func groupSize(_ key: String, _ value: JSONValue) throws(FieldProblem) -> Int? {
    // −1 is how other tools write "the whole row".
    if value.isNull || value.int == -1 { return nil }
    return try integer(key, value, 1...(1 << 20))
  }

  private static func sparsity(_ key: String, _ value: JSONValue) throws(FieldProblem) -> Sparsity {
    let text = value.string ?? value.double.map { "\($0)" } ?? ""
    guard let sparsity = Sparsity(text) else {
      throw FieldProblem(field: key, expected: "a part such as 0.5, or a pattern such as 2:4")
    }
    return sparsity
  }

  private static func integer(
    _ key: String, _ value: JSONValue, _ range: ClosedRange<Int>
  ) throws(FieldProblem) -> Int {
    guard let number = value.int, range.contains(number) else {
      throw FieldProblem(
        field: key, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  private static func number(
    _ key: String, _ value: JSONValue, _ range: ClosedRange<Double>
  ) throws(FieldProblem) -> Double {
    guard let number = value.double, range.contains(number) else {
      throw FieldProblem(field: key, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  private static func flag(_ key: String, _ value: JSONValue) throws(FieldProblem) -> Bool {
    guard let flag = value.bool else { throw FieldProblem(field: key, expected: "true or false") }
    return flag
  }

  private static func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ value: JSONValue
  ) throws(FieldProblem) -> Choice where Choice.RawValue == String {
    guard let choice = value.string.flatMap(Choice.init(rawValue:)) else {
      let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw FieldProblem(field: key, expected: "one of: \(known)")
    }
    return choice
  }

  /// Every setting, so that a report and a resumed run know what was done.
  package var json: JSONValue {
    var object: JSONObject = ["method": .string(method)]
    object["bits"] = scheme.bits.map { .integer(Int64($0)) } ?? .null
    object["group_size"] = .integer(Int64(scheme.groupSize ?? -1))
    object["grid"] = .string(scheme.convention.rawValue)
    object["activations"] = .string(scheme.activations.rawValue)
    if let sparsity = scheme.sparsity { object["sparsity"] = .string(sparsity.text) }
    object["act_order"] = .string(options.actOrder.rawValue)
    object["static_groups"] = .bool(options.staticGroups)
    object["block_size"] = .integer(Int64(options.blockSize))
    object["damping"] = .double(options.damping)
    object["smoothing"] = options.smoothing.map { .double($0) } ?? .null
    object["search_steps"] = .integer(Int64(options.searchSteps))
    object["clip"] = .bool(options.clips)
    object["rank"] = .integer(Int64(options.rank))
    object["outlier_columns"] = .double(options.outlierColumns)
    if let threshold = options.outlierThreshold { object["outlier_threshold"] = .double(threshold) }
    object["true_sequential"] = .bool(options.trueSequential)
    if options.prunedHeads > 0 { object["prune_heads"] = .double(options.prunedHeads) }
    if options.prunedChannels > 0 { object["prune_channels"] = .double(options.prunedChannels) }
    if options.prunedHidden > 0 { object["prune_hidden"] = .double(options.prunedHidden) }
    if options.prunedLayers > 0 { object["prune_layers"] = .double(options.prunedLayers) }
    if let budget = options.errorBudget { object["error_budget"] = .double(budget) }
    if let budget = budgetBytes {
      object["budget_bytes"] = .integer(Int64(budget))
      object["candidate_bits"] = .array(candidateBits.map { .integer(Int64($0)) })
    }
    if !overrides.isEmpty {
      object["overrides"] = .array(
        overrides.map { override in
          var entry: JSONObject = ["pattern": .string(override.pattern)]
          if override.skip { entry["skip"] = true }
          if let bits = override.bits { entry["bits"] = .integer(Int64(bits)) }
          if let size = override.groupSize { entry["group_size"] = .integer(Int64(size == 0 ? -1 : size)) }
          if let sparsity = override.sparsity { entry["sparsity"] = .string(sparsity.text) }
          return .object(entry)
        })
    }
    return .object(object)
  }
}

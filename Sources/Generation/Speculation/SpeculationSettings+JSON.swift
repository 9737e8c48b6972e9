internal import JSON

extension SpeculationSettings {
  /// Reads `--speculative-config`: an object with vLLM's names.
  ///
  /// ```
  /// {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_min": 2, "prompt_lookup_max": 5}
  /// {"method": "suffix", "num_speculative_tokens": 16, "suffix_decoding_max_tree_depth": 24, …}
  /// {"model": "DIR", "num_speculative_tokens": 4}                         method "draft_model"
  /// any: "disable_by_batch_size": N, "adaptive": false
  /// ```
  package init(json text: String) throws(ModelLoadingError) {
    let option = "--speculative-config"
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(text)
    } catch {
      throw .option(name: option, found: text, allowed: "a JSON object: \(error)")
    }
    guard let members = value.object else {
      throw .option(name: option, found: text, allowed: "a JSON object")
    }
    var fields = Fields(members: members)
    let model = try fields.string("model")
    let method = try fields.string("method") ?? (model == nil ? nil : "draft_model")
    switch method {
    case "ngram": self.init(.ngram(try fields.promptLookup()), maxDrafts: 5)
    case "suffix": self.init(.suffix(try fields.suffix()), maxDrafts: 16)
    case "draft_model":
      guard let model else {
        throw .option(name: "\(option) model", found: "missing", allowed: "the draft model's directory")
      }
      self.init(.draftModel(path: model), maxDrafts: 5)
    default:
      throw .option(
        name: "\(option) method", found: method ?? "missing", allowed: "ngram, suffix or draft_model")
    }
    if model != nil, method != "draft_model" {
      throw .option(
        name: "\(option) model", found: model ?? "", allowed: "left out with method \(method ?? "")")
    }
    maxDrafts = try fields.integer("num_speculative_tokens", Self.maxDraftsRange) ?? maxDrafts
    largestBatch = try fields.integer("disable_by_batch_size", 1...Int(Int32.max))
    adapts = try fields.flag("adaptive") ?? true
    try fields.finish(method ?? "")
  }

  private struct Fields {
    let members: JSONObject
    private var read: Set<String> = []

    init(members: JSONObject) { self.members = members }

    private static func name(_ field: String) -> String { "--speculative-config \(field)" }

    private mutating func value(_ field: String) -> JSONValue? {
      read.insert(field)
      guard let value = members[field], !value.isNull else { return nil }
      return value
    }

    mutating func string(_ field: String) throws(ModelLoadingError) -> String? {
      guard let value = value(field) else { return nil }
      guard let string = value.string else {
        throw .option(name: Self.name(field), found: value.serialized(), allowed: "a string")
      }
      return string
    }

    mutating func flag(_ field: String) throws(ModelLoadingError) -> Bool? {
      guard let value = value(field) else { return nil }
      guard let flag = value.bool else {
        throw .option(name: Self.name(field), found: value.serialized(), allowed: "true or false")
      }
      return flag
    }

    mutating func integer(_ field: String, _ range: ClosedRange<Int>) throws(ModelLoadingError) -> Int? {
      guard let value = value(field) else { return nil }
      guard let integer = value.int, range.contains(integer) else {
        throw .option(
          name: Self.name(field), found: value.serialized(),
          allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
      return integer
    }

    mutating func number(_ field: String, _ range: ClosedRange<Double>) throws(ModelLoadingError) -> Double? {
      guard let value = value(field) else { return nil }
      guard let number = value.double, range.contains(number) else {
        throw .option(
          name: Self.name(field), found: value.serialized(),
          allowed: "a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }

    mutating func promptLookup() throws(ModelLoadingError) -> PromptLookupSettings {
      var settings = PromptLookupSettings()
      let range = 1...64
      let longest = try integer("prompt_lookup_max", range)
      let shortest = try integer("prompt_lookup_min", range)
      settings.longest = longest ?? max(settings.longest, shortest ?? 0)
      settings.shortest = shortest ?? min(settings.shortest, settings.longest)
      if settings.shortest > settings.longest {
        throw .option(
          name: Self.name("prompt_lookup_min"), found: "\(settings.shortest)",
          allowed: "at most prompt_lookup_max (\(settings.longest))")
      }
      return settings
    }

    mutating func suffix() throws(ModelLoadingError) -> SuffixSettings {
      var settings = SuffixSettings()
      settings.depth = try integer("suffix_decoding_max_tree_depth", 3...256) ?? settings.depth
      settings.draftsPerMatch =
        try number("suffix_decoding_max_spec_factor", 0.01...64) ?? settings.draftsPerMatch
      settings.leastShare = try number("suffix_decoding_min_token_prob", 0...1) ?? settings.leastShare
      settings.capacity = try integer("suffix_cache_tokens", 64...(1 << 28)) ?? settings.capacity
      return settings
    }

    /// Refuses names that nobody read: a setting that is silently without effect is worse than an error.
    func finish(_ method: String) throws(ModelLoadingError) {
      for (name, _) in members where !read.contains(name) {
        throw .option(
          name: Self.name(name), found: "given", allowed: "left out: method \(method) has no such setting")
      }
    }
  }
}

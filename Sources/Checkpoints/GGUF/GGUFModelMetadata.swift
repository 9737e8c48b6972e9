internal import Glibc
internal import JSON

/// The metadata of a GGUF file from a Hugging Face `config.json`: what `GGUFArchitecture.configuration` reads, written.
struct GGUFModelMetadata {
  let architecture: GGUFArchitecture
  let heads: Int
  let keyValueHeads: Int
  private(set) var items: [GGUFMetadata.Item] = []
  /// What each rotary frequency is divided by (`rope_freqs.weight`); nil without Llama 3's rule.
  private(set) var ropeFactors: [Float]?

  private let fields: QuantizationFields
  private var hidden = 0

  /// - Throws: for a family llama.cpp does not have, or a setting GGUF cannot say.
  init(_ configuration: JSONValue) throws(QuantizationError) {
    let fields = QuantizationFields(configuration, path: "")
    let name = configuration["architectures"]?[0]?.string ?? ""
    let known: [(String, GGUFArchitecture)] = [
      ("LlamaForCausalLM", .llama), ("MistralForCausalLM", .llama), ("Qwen2ForCausalLM", .qwen2),
      ("GPT2LMHeadModel", .gpt2), ("BloomForCausalLM", .bloom),
    ]
    guard let architecture = known.first(where: { $0.0 == name })?.1 else {
      throw .unsupported("architectures", found: "\"\(name)\"", supported: known.map(\.0))
    }
    self.architecture = architecture
    self.fields = fields
    let heads = try fields.required(
      "num_attention_heads", try Self.integer(fields, ["num_attention_heads", "n_head"]))
    self.heads = heads
    keyValueHeads = try fields.integer("num_key_value_heads") ?? heads
    guard heads > 0, keyValueHeads > 0 else { throw fields.bad("num_attention_heads", "a positive integer") }
    hidden = try fields.required("hidden_size", try Self.integer(fields, ["hidden_size", "n_embd"]))
    add("general.architecture", .string([UInt8](architecture.name.utf8)))
    add("general.quantization_version", .uint32(2))
    try addCommon()
    if architecture.name == "llama" || architecture.name == "qwen2" {
      try addRotary(isMistral: name.hasPrefix("Mistral"))
    }
  }

  private mutating func add(_ key: String, _ value: GGUFValue) {
    items.append(GGUFMetadata.Item(key: key, value: value))
  }

  private mutating func addCount(_ key: String, _ value: Int) {
    add("\(architecture.name).\(key)", .uint32(UInt32(clamping: value)))
  }

  private static func integer(
    _ fields: QuantizationFields, _ names: [String]
  ) throws(QuantizationError) -> Int? {
    for name in names { if let value = try fields.integer(name) { return value } }
    return nil
  }

  private func count(_ names: String..., default fallback: Int? = nil) throws(QuantizationError) -> Int {
    try fields.required(names[0], try Self.integer(fields, names) ?? fallback)
  }

  private mutating func addCommon() throws(QuantizationError) {
    for field in ["intermediate_sizes", "num_key_value_heads_per_layer"] where fields.value(field) != nil {
      throw fields.unsupported(field, "layers of different widths", ["one width (compress --uniform)"])
    }
    let context = try count("max_position_embeddings", "n_positions", "seq_length", default: 2048)
    addCount("context_length", context)
    addCount("embedding_length", hidden)
    addCount("block_count", try count("num_hidden_layers", "n_layer"))
    addCount("feed_forward_length", try count("intermediate_size", "n_inner", default: 4 * hidden))
    addCount("attention.head_count", heads)
    addCount("attention.head_count_kv", keyValueHeads)
    if architecture.name == "gpt2" || architecture.name == "bloom" {
      let epsilon = try fields.number("layer_norm_epsilon") ?? 1e-5
      add("\(architecture.name).attention.layer_norm_epsilon", .float32(Float(epsilon)))
    }
    if architecture.name == "gpt2", let activation = try fields.string("activation_function"),
      activation != "gelu_new"
    {
      throw fields.unsupported("activation_function", "\"\(activation)\"", ["gelu_new"])
    }
  }

  private mutating func addRotary(isMistral: Bool) throws(QuantizationError) {
    let epsilon = try fields.number("rms_norm_eps") ?? 1e-6
    add("\(architecture.name).attention.layer_norm_rms_epsilon", .float32(Float(epsilon)))
    if let activation = try fields.string("hidden_act"), activation != "silu" {
      throw fields.unsupported("hidden_act", "\"\(activation)\"", ["silu"])
    }
    let size = try fields.integer("head_dim") ?? hidden / heads
    addCount("rope.dimension_count", size)
    addCount("attention.key_length", size)
    addCount("attention.value_length", size)
    // transformers 5 keeps base and scaling together.
    let parameters = try fields.fields("rope_parameters")
    let base = try fields.number("rope_theta") ?? parameters?.json["rope_theta"]?.double ?? 10000
    add("\(architecture.name).rope.freq_base", .float32(Float(base)))
    if isMistral, let window = try fields.integer("sliding_window") {
      addCount("attention.sliding_window", window)
    }
    if architecture.name == "qwen2", try fields.bool("use_sliding_window") == true {
      throw fields.unsupported("use_sliding_window", "true", ["false"])
    }
    if let scaling = try fields.fields("rope_scaling") ?? parameters {
      try addScaling(scaling, base: base, size: size)
    }
  }

  private mutating func addScaling(
    _ scaling: QuantizationFields, base: Double, size: Int
  ) throws(QuantizationError) {
    let kind = try scaling.string(scaling.value("rope_type") == nil ? "type" : "rope_type") ?? "default"
    let prefix = "\(architecture.name).rope.scaling."
    switch kind {
    case "default": break
    case "linear":
      let factor = try scaling.required("factor", try scaling.number("factor"))
      add(prefix + "type", .string([UInt8]("linear".utf8)))
      add(prefix + "factor", .float32(Float(factor)))
    case "llama3": ropeFactors = try Self.llama3Factors(scaling, base: base, size: size)
    case let other: throw scaling.unsupported("rope_type", "\"\(other)\"", ["default", "linear", "llama3"])
    }
  }

  /// Long wavelengths are stretched by the factor, short ones not, those between in part (Llama 3.1).
  private static func llama3Factors(
    _ scaling: QuantizationFields, base: Double, size: Int
  ) throws(QuantizationError) -> [Float] {
    func number(_ name: String) throws(QuantizationError) -> Double {
      try scaling.required(name, try scaling.number(name))
    }
    let (factor, low, high) = (
      try number("factor"), try number("low_freq_factor"), try number("high_freq_factor")
    )
    let original = try number("original_max_position_embeddings")
    var factors: [Float] = []
    for index in 0..<size / 2 {
      let turns = original / (2 * .pi * pow(base, Double(2 * index) / Double(size)))
      if turns > high {
        factors.append(1)
      } else if turns < low {
        factors.append(Float(factor))
      } else {
        let smooth = (turns - low) / (high - low)
        factors.append(Float(1 / ((1 - smooth) / factor + smooth)))
      }
    }
    return factors
  }
}

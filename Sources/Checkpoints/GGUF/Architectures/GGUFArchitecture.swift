internal import JSON

/// How one `general.architecture` of GGUF becomes a Hugging Face checkpoint. A new one is a file and a line in `all`.
struct GGUFArchitecture: Sendable {
  struct Rule: Sendable {
    let name: String
    let layout: Layout

    init(_ name: String, _ layout: Layout = .same) {
      self.name = name
      self.layout = layout
    }
  }

  /// How the elements differ from those of Hugging Face.
  enum Layout: Sendable {
    case same, queryRows, keyRows, fusedHeads
    /// The weight only; a bias has one dimension.
    case transposedWeight
  }

  /// The value of `general.architecture`, and the prefix of its keys.
  let name: String
  /// Names without `.weight` or `.bias`; `#` stands for the layer.
  let tensors: [String: Rule]
  /// `config.json` without what all architectures share.
  let configuration: @Sendable (GGUFHyperparameters) throws(GGUFError) -> JSONObject

  static let all: [GGUFArchitecture] = [llama, qwen2, gpt2, bloom]

  /// Tensors that hold nothing a model needs: rotary tables that old converters stored.
  static let ignoredTensors: Set<String> = ["blk.#.attn_rot_embd", "blk.#.attn.rope_freqs"]

  static func named(_ name: String) throws(GGUFError) -> GGUFArchitecture {
    guard let architecture = all.first(where: { $0.name == name }) else {
      throw .unsupportedArchitecture(name)
    }
    return architecture
  }
}

/// A tensor name taken apart: `blk.7.attn_q.weight` is `blk.#.attn_q`, layer 7, suffix `.weight`.
struct GGUFTensorName: Equatable {
  let stem: String
  let layer: Int?
  let suffix: String

  init(_ name: String) {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    if let last = parts.last, last == "weight" || last == "bias" {
      suffix = "." + last
      parts.removeLast()
    } else {
      suffix = ""
    }
    // "+1" and "01" would give one layer two names.
    if parts.count > 2, parts[0] == "blk", let number = Int(parts[1]), String(number) == parts[1], number >= 0
    {
      layer = number
      parts[1] = "#"
    } else {
      layer = nil
    }
    stem = parts.joined(separator: ".")
  }

  /// False for names a table must not match: without suffix, or with a "#" of their own.
  var isWellFormed: Bool { !suffix.isEmpty && stem.contains("#") == (layer != nil) }

  /// The Hugging Face name a rule gives this tensor.
  func applied(to rule: GGUFArchitecture.Rule) -> String {
    guard let layer else { return rule.name + suffix }
    return rule.name.split(separator: "#", omittingEmptySubsequences: false).joined(separator: String(layer))
      + suffix
  }
}

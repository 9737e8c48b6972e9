internal import Checkpoints
internal import Compute
internal import JSON
internal import Numerics

/// A LoRA adapter as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors`), checked against a model.
///
/// ```
/// y = x Wᵀ + b  +  scale · (x Aᵀ) Bᵀ          A [r, inputs], B [outputs, r]
/// scale         α / r, or α / √r with `use_rslora` (Kalajdzievski, arXiv 2312.03732)
/// ```
struct Adapter {
  /// What is added to one linear layer. Row-major, in the order of the model's own rows.
  struct Update {
    let site: LinearSite
    let rank: Int
    let scale: Float
    /// `[rank, inputs]`
    let down: RawTensor
    /// `[outputs, rank]`
    let up: RawTensor
  }

  let path: String
  /// The largest of all layers.
  private(set) var rank = 0
  private(set) var updates: [Update] = []

  /// - Throws: `ModelError.adapter` for what this program does not implement, for tensors that fit no layer of the model,
  ///   and for those of the wrong shape.
  init(
    path: String, configuration: ModelConfiguration, sites: [[LinearSite]]
  ) throws(ModelError) {
    self.path = path
    let settings = try AdapterSettings(path: path)
    let file: SafetensorsFile
    do throws(CheckpointError) {
      file = try SafetensorsFile(path: path + "/adapter_model.safetensors")
    } catch { throw .checkpoint(error) }
    let stem = configuration.decoder.layerStem
    var bySuffix: [String: LinearSite] = [:]
    for site in sites.joined() {
      // A checkpoint may leave the base model's prefix out; PEFT never does.
      guard let start = site.module.firstOccurrence(of: stem + "\(site.layer).") else { continue }
      bySuffix[String(site.module[start...])] = site
    }
    var pairs: [String: (down: RawTensor?, up: RawTensor?)] = [:]
    for name in file.names {
      guard let (module, part) = Self.split(name) else {
        throw .adapter(path: path, reason: "tensor \"\(name)\" is not the A or B of a linear layer")
      }
      let tensor: RawTensor
      do throws(CheckpointError) { tensor = try file.tensor(name) } catch { throw .checkpoint(error) }
      if part == "A" {
        pairs[module, default: (nil, nil)].down = tensor
      } else {
        pairs[module, default: (nil, nil)].up = tensor
      }
    }
    for (module, pair) in pairs.sorted(by: { $0.key < $1.key }) {
      guard let site = Self.site(of: module, stem: stem, bySuffix) else {
        throw .adapter(path: path, reason: "the model has no linear layer \"\(module)\"")
      }
      guard let down = pair.down, let up = pair.up else {
        throw .adapter(path: path, reason: "\"\(module)\" has only one of lora_A and lora_B")
      }
      updates.append(try Self.update(site, module, down, up, settings, path))
    }
    if updates.isEmpty { throw .adapter(path: path, reason: "it changes no layer") }
    rank = updates.lazy.map(\.rank).max() ?? 0
  }

  private static func update(
    _ site: LinearSite, _ module: String, _ down: RawTensor, _ up: RawTensor, _ settings: AdapterSettings,
    _ path: String
  ) throws(ModelError) -> Update {
    let types: [DataType] = [.float32, .float16, .bfloat16]
    guard types.contains(down.dataType), types.contains(up.dataType) else {
      throw .adapter(path: path, reason: "\"\(module)\" is not of float32, float16 or bfloat16")
    }
    guard down.shape.count == 2, up.shape.count == 2, down.shape[1] == site.inputs,
      up.shape[0] == site.outputs,
      down.shape[0] == up.shape[1], down.shape[0] > 0
    else {
      throw .adapter(
        path: path,
        reason:
          "\"\(module)\" has A \(down.shape) and B \(up.shape); the layer needs A [r, \(site.inputs)] and "
          + "B [\(site.outputs), r]")
    }
    let rank = down.shape[0]
    let stated = settings.rank(of: module)
    guard stated == rank else {
      throw .adapter(
        path: path, reason: "\"\(module)\" has rank \(rank) and its configuration says \(stated)")
    }
    return Update(site: site, rank: rank, scale: settings.scale(of: module), down: down, up: up)
  }

  /// `base_model.model.<module>.lora_A.weight`
  private static func split(_ name: String) -> (module: String, part: String)? {
    let prefix = "base_model.model."
    guard name.hasPrefix(prefix) else { return nil }
    for part in ["A", "B"] {
      let suffix = ".lora_\(part).weight"
      if name.hasSuffix(suffix) { return (String(name.dropFirst(prefix.count).dropLast(suffix.count)), part) }
    }
    return nil
  }

  private static func site(of module: String, stem: String, _ sites: [String: LinearSite]) -> LinearSite? {
    guard let start = module.firstOccurrence(of: stem) else { return nil }
    return sites[String(module[start...])]
  }
}

extension String {
  /// Where `part` first stands as whole dotted components.
  fileprivate func firstOccurrence(of part: String) -> Index? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(part), start == startIndex || self[index(before: start)] == "." {
        return start
      }
      start = index(after: start)
    }
    return nil
  }
}

/// What `adapter_config.json` says.
private struct AdapterSettings {
  private let rank: Int
  private let alpha: Double
  private let usesRootRank: Bool
  private let rankPattern: [String: Int]
  private let alphaPattern: [String: Double]

  init(path: String) throws(ModelError) {
    let file = path + "/adapter_config.json"
    let mapped: MappedFile
    do throws(CheckpointError) { mapped = try MappedFile(path: file) } catch { throw .checkpoint(error) }
    let json: JSONValue
    do throws(JSONError) {
      json = try unsafe mapped.withBytes { bytes throws(JSONError) in try unsafe JSONValue.parse(bytes) }
    } catch {
      throw .adapter(path: path, reason: "adapter_config.json: \(error)")
    }
    let reader = try ConfigurationReader(json, file: file)
    let kind = try reader.string("peft_type")
    guard kind == "LORA" else {
      throw .adapter(path: path, reason: "it is of type \(kind ?? "unknown"); only LORA is known")
    }
    for (field, meaning) in [("use_dora", "DoRA"), ("use_qalora", "QALoRA")]
    where try reader.flag(field, default: false) {
      throw .adapter(path: path, reason: "\(meaning) is not supported (\(field))")
    }
    if let bias = try reader.string("bias"), bias != "none" {
      throw .adapter(path: path, reason: "trained biases are not supported (bias is \"\(bias)\")")
    }
    if let saved = json["modules_to_save"], !saved.isNull, saved.array?.isEmpty != true {
      throw .adapter(
        path: path, reason: "whole modules beside the adapter are not supported (modules_to_save)")
    }
    rank = try reader.integer("r", in: 1...4096)
    alpha = try reader.number("lora_alpha", in: -1e6...1e6)
    usesRootRank = try reader.flag("use_rslora", default: false)
    var ranks: [String: Int] = [:]
    for (name, value) in json["rank_pattern"]?.object ?? [:] {
      guard let rank = value.int, (1...4096).contains(rank), Self.isPlain(name) else {
        throw .adapter(path: path, reason: "rank_pattern \"\(name)\" is not a module name with a rank")
      }
      ranks[name] = rank
    }
    var alphas: [String: Double] = [:]
    for (name, value) in json["alpha_pattern"]?.object ?? [:] {
      guard let alpha = value.double, abs(alpha) <= 1e6, Self.isPlain(name) else {
        throw .adapter(path: path, reason: "alpha_pattern \"\(name)\" is not a module name with a number")
      }
      alphas[name] = alpha
    }
    rankPattern = ranks
    alphaPattern = alphas
  }

  /// PEFT matches patterns as regular expressions at the end of a module's name; names are what is used in practice.
  private static func isPlain(_ name: String) -> Bool {
    name.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_")
        || byte == UInt8(ascii: ".")
    }
  }

  private func value<Value>(_ pattern: [String: Value], _ module: String, _ fallback: Value) -> Value {
    for (name, value) in pattern where module == name || module.hasSuffix("." + name) { return value }
    return fallback
  }

  func rank(of module: String) -> Int { value(rankPattern, module, rank) }

  func scale(of module: String) -> Float {
    let rank = Double(rank(of: module))
    return Float(value(alphaPattern, module, alpha) / (usesRootRank ? rank.squareRoot() : rank))
  }
}

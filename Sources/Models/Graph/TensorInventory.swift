package import Checkpoints
internal import Compute
internal import Numerics

/// The tensors a configuration asks for, found in a checkpoint and checked: names, shapes and types.
///
/// Reads no element, so every such mistake is reported before memory is reserved.
package struct TensorInventory: Sendable {
  /// What a tensor is for, which decides the type it is held in.
  package enum Role: Sendable, Equatable {
    /// Of a linear layer; kept in the type of the file.
    case matrix
    /// An embedding or position table; kept in the type of the file.
    case table
    /// A norm's weight, any bias, and learned sinks; held as float32.
    case vector
  }

  /// One tensor the model reads.
  package struct Requirement: Sendable, Equatable {
    package let name: String
    /// As it lies in the file.
    package let shape: [Int]
    package let role: Role
  }

  /// "model." or the like, found by where the token embedding is.
  package let prefix: String
  /// The output projection's module; a tied one is not read, though it may be there.
  package let output: String
  package private(set) var hasSinkLogits = false
  package private(set) var requirements: [Requirement] = []
  /// The tensors that quantised weights are made of.
  package private(set) var quantised: [String] = []
  private var linears: [QuantizedLinear] = []
  package private(set) var weightBytes = 0
  /// Tensors of the checkpoint that the model does not read, but for buffers that older exporters wrote.
  package private(set) var unused: [String] = []

  /// - Parameter held: what the backend turns weights into when they are placed.
  /// - Throws: the first tensor that is missing, has another shape or type, or should not be there.
  package init(
    _ configuration: ModelConfiguration, in checkpoint: Checkpoint, held: HeldTypes = .asStored
  ) throws(ModelError) {
    let decoder = configuration.decoder
    let candidates = decoder.prefixes.map { $0 + decoder.tokenEmbedding + ".weight" }
    guard let match = candidates.firstIndex(where: { checkpoint.tensors[$0] != nil }) else {
      throw .missingTensor(name: candidates[0], checkpoint: checkpoint.path)
    }
    prefix = decoder.prefixes[match]
    output =
      decoder.output.first { name in
        // A quantised weight has any of these instead.
        ["weight", "qweight", "weight_packed", "bitmask"].contains {
          checkpoint.tensors["\(name).\($0)"] != nil
        }
      } ?? decoder.output[0]
    try collect(configuration, checkpoint)
    if held.quantization != nil, let linear = linears.first {
      throw .quantised(module: linear.module, scheme: linear.scheme.name)
    }
    try addQuantised(in: checkpoint, held)

    for requirement in requirements {
      let entry = try check(requirement, in: checkpoint)
      weightBytes += bytes(of: entry, requirement.role, decoder.weightOrder, held)
    }
    for name in absentBiases(decoder, layers: configuration.layers.count)
    where checkpoint.tensors[name] != nil {
      throw .unexpectedTensor(name: name, reason: "\(configuration.family) as configured has no such bias")
    }
    let known = Set(requirements.map(\.name) + quantised)
    unused = checkpoint.tensorNames.filter { name in
      !known.contains(name) && !Self.buffers.contains { name.hasSuffix($0) } && name != output + ".weight"
    }
  }

  private func bytes(
    of entry: TensorEntry, _ role: Role, _ order: DecoderDescription.WeightOrder, _ held: HeldTypes
  ) -> Int {
    if role == .matrix, entry.name != output + ".weight", let quantization = held.quantization {
      let (outputs, inputs) =
        order == .outputsFirst ? (entry.shape[0], entry.shape[1]) : (entry.shape[1], entry.shape[0])
      return quantization.byteCount(outputs: outputs, inputs: inputs)
    }
    let type =
      switch role {
      case .vector: DataType.float32
      case .matrix: held.matrices ?? entry.dataType
      case .table: entry.dataType
      }
    return entry.elementCount * type.byteCount
  }

  /// Rope frequencies and causal masks, which are computed here.
  private static let buffers = [
    "rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias",
  ]

  /// What the names of a layer's tensors begin with, the dot included.
  package func layerPrefix(_ layer: Int, _ decoder: DecoderDescription) -> String {
    name("", layer: layer, decoder)
  }

  /// The full module name of `module` in layer `layer`.
  func name(_ module: String, layer: Int, _ decoder: DecoderDescription) -> String {
    "\(prefix)\(decoder.layerStem)\(layer).\(module)"
  }

  /// The tensor of a layer's learned sinks; nil where the checkpoint has none.
  package func sinkLogits(layer: Int, _ decoder: DecoderDescription) -> String? {
    hasSinkLogits ? decoder.sinkLogits.map { name($0, layer: layer, decoder) } : nil
  }

  // MARK: What is asked for

  private mutating func collect(
    _ configuration: ModelConfiguration, _ checkpoint: Checkpoint
  ) throws(ModelError) {
    let decoder = configuration.decoder
    let hidden = configuration.hiddenSize
    require(prefix + decoder.tokenEmbedding + ".weight", [configuration.vocabularySize, hidden], .table)
    if case .learned(let table) = decoder.positions {
      require(prefix + table + ".weight", [configuration.maxPositions, hidden], .table)
    }
    if let norm = decoder.embeddingNorm { requireNorm(prefix + norm, hidden, decoder) }
    // All layers or none: a checkpoint that lost some would be another model.
    hasSinkLogits = configuration.layers.indices.contains { layer in
      decoder.sinkLogits.map { checkpoint.tensors[name($0, layer: layer, decoder)] != nil } ?? false
    }
    for layer in configuration.layers.indices {
      if let sinks = sinkLogits(layer: layer, decoder) {
        require(sinks, [configuration.queryHeads(of: layer)], .vector)
      }
      requireNorm(name(decoder.attentionNorm, layer: layer, decoder), hidden, decoder)
      requireNorm(name(decoder.feedForwardNorm, layer: layer, decoder), hidden, decoder)
      for (projection, outputs, inputs) in configuration.projections(of: layer) {
        let module = name(projection.name, layer: layer, decoder)
        let shape = decoder.weightOrder == .outputsFirst ? [outputs, inputs] : [inputs, outputs]
        if let linear = try quantised(module, checkpoint) {
          try require(linear, [outputs, inputs])
        } else {
          require(module + ".weight", shape, .matrix)
        }
        if projection.bias { require(module + ".bias", [outputs], .vector) }
      }
    }
    requireNorm(prefix + decoder.finalNorm, hidden, decoder)
    if !decoder.tiesEmbeddings {
      let shape = [configuration.vocabularySize, hidden]
      if let linear = try quantised(output, checkpoint) {
        try require(linear, shape)
      } else {
        require(output + ".weight", shape, .matrix)
      }
    }
  }

  private func quantised(
    _ module: String, _ checkpoint: Checkpoint
  ) throws(ModelError) -> QuantizedLinear? {
    do throws(CheckpointError) { return try checkpoint.linear(module) } catch { throw .checkpoint(error) }
  }

  private mutating func require(_ linear: QuantizedLinear, _ shape: [Int]) throws(ModelError) {
    guard [linear.outputs, linear.inputs] == shape else {
      throw .tensorShape(
        name: "\(linear.module) (\(linear.scheme.name))", expected: shape,
        found: [linear.outputs, linear.inputs])
    }
    quantised += linear.tensorNames
    linears.append(linear)
  }

  /// Adds what quantised weights take once they are placed. One layer of each form is read: the others differ in
  /// their sizes only.
  private mutating func addQuantised(in checkpoint: Checkpoint, _ held: HeldTypes) throws(ModelError) {
    var widths: [String: Int?] = [:]
    for linear in linears {
      let form = "\(linear.scheme)"
      let width: Int?
      if let known = widths[form] {
        width = known
      } else {
        do throws(CheckpointError) {
          width = held.widened(try checkpoint.store(of: linear))?.byteCount
        } catch { throw .checkpoint(error) }
        widths[form] = .some(width)
      }
      weightBytes += width.map { linear.outputs * linear.inputs * $0 } ?? linear.byteCount
    }
  }

  private mutating func require(_ name: String, _ shape: [Int], _ role: Role) {
    requirements.append(Requirement(name: name, shape: shape, role: role))
  }

  private mutating func requireNorm(_ module: String, _ count: Int, _ decoder: DecoderDescription) {
    require(module + ".weight", [count], .vector)
    if decoder.norm.kind == .layer { require(module + ".bias", [count], .vector) }
  }

  /// Biases the description rules out. Found in a checkpoint they mean that the configuration is wrong, and
  /// leaving them out would give fluent nonsense.
  private func absentBiases(_ decoder: DecoderDescription, layers: Int) -> [String] {
    let projections = decoder.projections.filter { !$0.bias }.map(\.name)
    return (0..<layers).flatMap { layer in
      projections.map { name($0, layer: layer, decoder) + ".bias" }
    } + decoder.output.map { $0 + ".bias" }
  }

  // MARK: What is there

  private static let matrixTypes: [DataType] = [.float32, .float16, .bfloat16]

  private func check(
    _ requirement: Requirement, in checkpoint: Checkpoint
  ) throws(ModelError) -> TensorEntry {
    guard let entry = checkpoint.tensors[requirement.name] else {
      throw .missingTensor(name: requirement.name, checkpoint: checkpoint.path)
    }
    guard entry.shape == requirement.shape else {
      throw .tensorShape(name: requirement.name, expected: requirement.shape, found: entry.shape)
    }
    guard Self.matrixTypes.contains(entry.dataType) else {
      throw .tensorType(
        name: requirement.name, found: entry.dataType.rawValue, supported: Self.matrixTypes.map(\.rawValue))
    }
    return entry
  }
}

extension DecoderDescription {
  /// The linear layers of one layer.
  var projections: [Projection] {
    var all: [Projection]
    switch attention {
    case .separate(let query, let key, let value): all = [query, key, value]
    case .fused(let projection, _): all = [projection]
    }
    all.append(attentionOutput)
    switch feedForward {
    case .gated(let gate, let up, let down): all += [gate, up, down]
    case .plain(let up, let down): all += [up, down]
    }
    return all
  }
}

extension ModelConfiguration {
  /// The linear layers of one layer with their sizes.
  func projections(
    of layer: Int
  ) -> [(projection: DecoderDescription.Projection, outputs: Int, inputs: Int)] {
    let intermediateSize = intermediateSize(of: layer)
    let (queryWidth, keyValueWidth) = (queryWidth(of: layer), keyValueWidth(of: layer))
    var all: [(projection: DecoderDescription.Projection, outputs: Int, inputs: Int)]
    switch decoder.attention {
    case .separate(let query, let key, let value):
      all = [
        (query, queryWidth, hiddenSize), (key, keyValueWidth, hiddenSize), (value, keyValueWidth, hiddenSize),
      ]
    case .fused(let projection, _): all = [(projection, queryWidth + 2 * keyValueWidth, hiddenSize)]
    }
    all.append((decoder.attentionOutput, hiddenSize, queryWidth))
    switch decoder.feedForward {
    case .gated(let gate, let up, let down):
      all += [
        (gate, intermediateSize, hiddenSize), (up, intermediateSize, hiddenSize),
        (down, hiddenSize, intermediateSize),
      ]
    case .plain(let up, let down):
      all += [(up, intermediateSize, hiddenSize), (down, hiddenSize, intermediateSize)]
    }
    return all
  }
}

package import CPUBackend
package import Checkpoints
internal import Compute
internal import JSON
internal import Models
internal import Numerics

/// Takes components out of the residual stream: columns of the embeddings, elements of the norms, outputs of what writes
/// the stream and inputs of what reads it, in the whole model at once (`StreamGroup`; the channel-wise mode of LLM-Pruner,
/// arXiv 2305.11627, with activation statistics in place of gradients). The output is an ordinary model with a smaller
/// hidden size.
///
/// With `k` of `n` components an RMSNorm of the smaller model divides by another mean. Weights times `√(n / k)` and
/// `ε · n / k` make it what the original's would be if the others were zero:
///
///     w · x / √(Σ_kept x² / n + ε)  =  w · √(n / k) · x / √(Σ_kept x² / k + ε · n / k)
///
/// What those others added to the mean square is put back on average over the calibration tokens, and what readers lose
/// is made up for by least squares, as in `StructuredPruner`. Tied embeddings are only cut: they are written and read.
package struct HiddenPruner {
  private let source: Checkpoint
  private let configuration: ModelConfiguration
  private let inventory: TensorInventory
  private let fields: (size: String, epsilon: String)
  private let stream: StreamGroup
  private let calibration: CalibrationSet
  private let backend: CPUBackend
  private let compensates: Bool
  private let keptCount: Int

  /// Components that stayed, ascending.
  package private(set) var kept: [Int] = []

  /// - Parameter part: of the components to take out; what stays is rounded to a multiple of `GroupBudget.unit`.
  package init(
    _ source: Checkpoint, part: Double, compensates: Bool = true, calibration: CalibrationSet,
    backend: CPUBackend
  ) throws {
    self.source = source
    self.calibration = calibration
    self.backend = backend
    self.compensates = compensates
    configuration = try ModelRegistry.configuration(from: source.configuration)
    guard configuration.decoder.norm.kind == .rms else {
      throw StructuredPruner.Problem.centredNorms(family: configuration.family)
    }
    guard let fields = ShapeFields.of(configuration.family)?.hidden else {
      throw StructuredPruner.Problem.fixed(family: configuration.family, what: "the hidden size")
    }
    self.fields = fields
    stream = DependencyGroups(configuration).stream
    inventory = try TensorInventory(configuration, in: source)
    let count = configuration.hiddenSize
    keptCount = GroupBudget.rounded(count - Int(Double(count) * part), of: count)
    guard part < 1, keptCount > 0 else {
      throw StructuredPruner.Problem.nothingLeft(what: "hidden components")
    }
  }

  /// Writes the smaller model. Goes over the layers twice: to choose, and to cut.
  package mutating func run(output: String, progress: (Int, Int) -> Void = { _, _ in }) throws {
    let total = 2 * configuration.layers.count
    let scores = try self.scores { progress($0, total) }
    let order = scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
    kept = order.prefix(keptCount).sorted()
    let tensors = try smallerTensors { progress(configuration.layers.count + $0, total) }
    try SmallerModel(source: source, configuration: try smallerConfiguration()).write(
      source.tensorNames.map { ($0, $0) }, replacing: tensors, to: output)
  }

  // MARK: Choosing

  /// What each component contributes to all that reads the stream, every reader counting alike.
  private func scores(progress: (Int) -> Void) throws -> [Double] {
    var scores = [Double](repeating: 0, count: configuration.hiddenSize)
    func add(_ inputs: ReadInputs) {
      for (component, share) in inputs.shares.enumerated() { scores[component] += share }
    }
    let final = try walk(gram: false) { layer, weights, _, point, statistics in
      for role in stream.readers where role.input == point {
        guard let matrix = weights.linears[role] else { continue }
        add(ReadInputs(matrix: matrix, statistics: statistics))
      }
      if point == .feedForwardNorm { progress(layer + 1) }
    }
    add(ReadInputs(matrix: try matrix(outputName), statistics: final.statistics))
    return scores
  }

  // MARK: Cutting

  private func smallerTensors(progress: (Int) -> Void) throws -> [String: OutputTensor] {
    var tensors: [String: OutputTensor] = [:]
    func put(_ name: String, _ matrix: Matrix) {
      tensors[name] = OutputTensor(name, matrix.tensor(type(of: name)))
    }
    func put(_ name: String, _ vector: [Float]) {
      tensors[name] = OutputTensor(
        name, HostTensor.narrowed(vector, type(of: name), Shape(vector.count)))
    }
    func norm(_ module: String, _ streams: [Float]) throws {
      let factor = normFactor(streams)
      let weight = try source.rawTensor(module + ".weight").floats()
      put(module + ".weight", kept.map { weight[$0] * factor })
    }
    let final = try walk(gram: compensates) { layer, weights, streams, point, statistics in
      let names = inventory.norms(layer: layer, configuration.decoder)
      try norm(point == .attentionNorm ? names.attention : names.feedForward, streams)
      for site in weights.sites {
        guard let matrix = weights.linears[site.role] else { continue }
        if stream.readers.contains(site.role), site.role.input == point {
          put(site.module + ".weight", try reading(matrix, statistics))
        }
        guard point == .feedForwardNorm, stream.writers.contains(site.role) else { continue }
        put(site.module + ".weight", matrix.transposed().selectingColumns(kept).transposed())
        if let bias = weights.biases[site.role] { put(site.module + ".bias", kept.map { bias[$0] }) }
      }
      if point == .feedForwardNorm { progress(layer + 1) }
    }
    for module in stream.norms { try norm(inventory.prefix + module, final.streams) }
    for module in stream.tables {
      let name = inventory.prefix + module + ".weight"
      put(name, try matrix(name).selectingColumns(kept))
    }
    if stream.output != nil { put(outputName, try reading(try matrix(outputName), final.statistics)) }
    return tensors
  }

  private func reading(_ matrix: Matrix, _ statistics: ActivationStatistics) throws -> Matrix {
    guard compensates else { return matrix.selectingColumns(kept) }
    return try ReadInputs(matrix: matrix, statistics: statistics).compensated(kept, on: backend)
  }

  /// What a norm's weights are multiplied by.
  private func normFactor(_ streams: [Float]) -> Float {
    let width = configuration.hiddenSize
    let resized = (Double(width) / Double(kept.count)).squareRoot()
    guard compensates else { return Float(resized) }
    let rows = streams.count / width
    var sum = 0.0
    for row in 0..<rows {
      let all = (row * width..<(row + 1) * width).reduce(0.0) {
        $0 + Double(streams[$1]) * Double(streams[$1])
      }
      let some = kept.reduce(0.0) {
        let value = Double(streams[row * width + $1])
        return $0 + value * value
      }
      sum += all > 0 ? (some / all).squareRoot() : 1
    }
    return Float(resized * (rows > 0 ? sum / Double(rows) : 1))
  }

  // MARK: Walking

  /// Runs the model over the calibration tokens and shows, before each norm of a layer, its weights, the residual stream
  /// and what the norm's readers read.
  ///
  /// - Returns: the stream behind the last layer, and what the output projection reads.
  private func walk(
    gram: Bool,
    _ body: (Int, LayerWeights, [Float], TracePoint.LayerPoint, ActivationStatistics) throws -> Void
  ) throws -> (streams: [Float], statistics: ActivationStatistics) {
    let calibrator = try Calibrator(checkpoint: source, samples: calibration.samples, backend: backend)
    for (layer, sites) in inventory.sites(configuration).enumerated() {
      let weights = try LayerWeights(
        sites, norms: inventory.norms(layer: layer, configuration.decoder), checkpoint: source,
        decoder: configuration.decoder)
      for point in [TracePoint.LayerPoint.attentionNorm, .feedForwardNorm] {
        let streams = calibrator.stream.floats
        try body(
          layer, weights, streams, point, try calibrator.statistics(of: point, layer: layer, gram: gram))
        if point == .attentionNorm {
          try calibrator.advanceAttention(layer)
        } else {
          try calibrator.advanceFeedForward(layer)
        }
      }
    }
    return (calibrator.stream.floats, try calibrator.finalStatistics(gram: gram && stream.output != nil))
  }

  // MARK: Output

  private var outputName: String {
    (stream.output == nil ? inventory.prefix + stream.tables[0] : inventory.output) + ".weight"
  }

  private func type(of name: String) -> DataType { source.tensors[name]?.dataType ?? .float32 }

  private func matrix(_ name: String) throws -> Matrix {
    let raw = try source.rawTensor(name)
    let matrix = Matrix(rows: raw.shape[0], columns: raw.shape[1])
    unsafe raw.copyFloats(into: matrix.elements)
    return matrix
  }

  private func smallerConfiguration() throws -> JSONValue {
    guard var object = source.configuration.object else { return source.configuration }
    object[fields.size] = .integer(Int64(kept.count))
    let ratio = Double(configuration.hiddenSize) / Double(kept.count)
    object[fields.epsilon] = .double(Double(configuration.decoder.norm.epsilon) * ratio)
    if let names = ShapeFields.of(configuration.family)?.heads {
      // It would follow from the hidden size.
      object[names.dimension] = .integer(Int64(configuration.headDimension))
    }
    let json = JSONValue.object(object)
    // What loads it must see the model that was computed here.
    var expected = configuration
    expected.hiddenSize = kept.count
    let read = try ModelRegistry.configuration(from: json)
    expected.decoder.norm = read.decoder.norm
    guard read == expected else {
      throw StructuredPruner.Problem.fixed(family: configuration.family, what: "a stream of this kind")
    }
    return json
  }
}

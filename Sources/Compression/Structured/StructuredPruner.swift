package import CPUBackend
package import Checkpoints
internal import Compute
internal import JSON
internal import Models
internal import Numerics

/// Takes whole heads and feed-forward channels out of every layer, by what the activations say they contribute: no
/// gradients. The output is an ordinary, smaller model of the same family, or, where layers lose different numbers of
/// them, one that this program alone loads (`WidthsPerLayer`).
///
/// What a matrix lost is made up for by those of its inputs that stay, by least squares over the calibration tokens:
/// `W' = W · H[:, kept] · H[kept, kept]⁻¹`.
package struct StructuredPruner {
  package struct Parts: Sendable, Equatable {
    /// Part of the heads and of the feed-forward channels to take out.
    package var heads = 0.0
    package var channels = 0.0
    /// Every layer loses as many; else those that contribute least go, wherever they are.
    package var isUniform = true
    package var compensates = true

    package init(heads: Double, channels: Double, isUniform: Bool = true, compensates: Bool = true) {
      self.heads = heads
      self.channels = channels
      self.isUniform = isUniform
      self.compensates = compensates
    }
  }

  package enum Problem: Error, Equatable, Sendable {
    case fixed(family: String, what: String)
    /// Taking components out of the residual stream changes the mean that such norms subtract.
    case centredNorms(family: String)
    case nothingLeft(what: String)
  }

  private let source: Checkpoint
  private let configuration: ModelConfiguration
  private let parts: Parts
  private let backend: CPUBackend
  private let calibrator: Calibrator
  private let samples: [[Int32]]
  private let groups: DependencyGroups
  private let fields: ShapeFields

  /// What stayed in each layer, by the groups' places.
  package private(set) var kept: [(heads: [Int], channels: [Int])] = []

  package init(
    _ source: Checkpoint, _ parts: Parts, calibration: CalibrationSet, backend: CPUBackend
  ) throws {
    self.source = source
    self.parts = parts
    self.backend = backend
    configuration = try ModelRegistry.configuration(from: source.configuration)
    guard let fields = ShapeFields.of(configuration.family) else {
      throw Problem.fixed(family: configuration.family, what: "sizes")
    }
    if parts.heads > 0, fields.heads == nil {
      throw Problem.fixed(family: configuration.family, what: "the number of heads")
    }
    if parts.channels > 0, fields.intermediate == nil {
      throw Problem.fixed(family: configuration.family, what: "the feed-forward's width")
    }
    self.fields = fields
    groups = DependencyGroups(configuration)
    samples = calibration.samples
    calibrator = try Calibrator(checkpoint: source, samples: calibration.samples, backend: backend)
  }

  /// Writes the smaller model.
  package mutating func run(output: String, progress: (Int, Int) -> Void = { _, _ in }) throws {
    let (heads, channels) = try keptCounts()
    let inventory = try TensorInventory(configuration, in: source)
    let transposed = configuration.decoder.weightOrder == .inputsFirst
    var tensors: [String: OutputTensor] = [:]
    for (layer, sites) in inventory.sites(configuration).enumerated() {
      let type = source.tensors[sites[0].module + ".weight"]?.dataType ?? .float32
      let weights = try LayerWeights(
        sites, norms: inventory.norms(layer: layer, configuration.decoder), checkpoint: source,
        decoder: configuration.decoder)
      let keptHeads = try prune(
        weights, headGroups(layer), keep: heads[layer], point: .attention, layer, type)
      try calibrator.advanceAttention(layer)
      let keptChannels = try prune(
        weights, channelGroups(layer), keep: channels[layer], point: .activated, layer, type)
      try calibrator.advanceFeedForward(layer)
      calibrator.graph.restore(layer: layer)
      kept.append((keptHeads, keptChannels))
      for site in sites {
        let made = keptRows(site, keptHeads, keptChannels)
        let read = keptColumns(site, keptHeads, keptChannels)
        guard let matrix = weights.linears[site.role] else { continue }
        var small = read.map { matrix.selectingColumns($0) } ?? matrix
        if let made { small = small.transposed().selectingColumns(made).transposed() }
        if transposed { small = small.transposed() }
        tensors[site.module + ".weight"] = OutputTensor(site.module + ".weight", small.tensor(type))
        if let made, let bias = weights.biases[site.role] {
          let name = site.module + ".bias"
          tensors[name] = OutputTensor(
            name, HostTensor.narrowed(made.map { bias[$0] }, type, Shape(made.count)))
        }
      }
      if let sinks = inventory.sinkLogits(layer: layer, configuration.decoder) {
        let values = try source.rawTensor(sinks).floats()
        let queries = groups.queryHeads(of: keptHeads)
        tensors[sinks] = OutputTensor(
          sinks,
          HostTensor.narrowed(
            queries.map { values[$0] }, source.tensors[sinks]?.dataType ?? .float32, Shape(queries.count)))
      }
      progress(layer + 1, configuration.layers.count)
    }
    try write(tensors, heads: heads, channels: channels, to: output)
  }

  // MARK: How many stay

  private func headGroups(_ layer: Int) -> [DependencyGroup] {
    Array(groups.heads.prefix(configuration.keyValueHeads(of: layer)))
  }

  private func channelGroups(_ layer: Int) -> [DependencyGroup] {
    Array(groups.channels.prefix(configuration.intermediateSize(of: layer)))
  }

  /// Of each layer.
  private func keptCounts() throws -> (heads: [Int], channels: [Int]) {
    let layers = configuration.layers.indices
    let scores = parts.isUniform ? nil : try self.scores()
    return (
      try keptCounts(
        layers.map { configuration.keyValueHeads(of: $0) }, parts.heads, scores?.map(\.heads), unit: 1,
        "heads"),
      try keptCounts(
        layers.map { configuration.intermediateSize(of: $0) }, parts.channels, scores?.map(\.channels),
        unit: GroupBudget.unit, "feed-forward channels")
    )
  }

  private func keptCounts(
    _ counts: [Int], _ part: Double, _ scores: [[Double]]?, unit: Int, _ what: String
  ) throws(Problem) -> [Int] {
    func removed(_ count: Int) -> Int { Int(Double(count) * part) }
    if let scores, part > 0 {
      return try GroupBudget.kept(
        scores, removing: removed(counts.reduce(0, +)), unit: unit, what)
    }
    guard counts.allSatisfy({ removed($0) < $0 }) else { throw .nothingLeft(what: what) }
    return counts.map { $0 - removed($0) }
  }

  /// What each group contributes to its half layer's output, as a part of all that layer's; from the model as it is.
  private func scores() throws -> [(heads: [Double], channels: [Double])] {
    let calibrator = try Calibrator(checkpoint: source, samples: samples, backend: backend)
    let inventory = try TensorInventory(configuration, in: source)
    return try inventory.sites(configuration).enumerated().map { layer, sites in
      let weights = try LayerWeights(
        sites, norms: inventory.norms(layer: layer, configuration.decoder), checkpoint: source,
        decoder: configuration.decoder)
      func shares(_ groups: [DependencyGroup], _ point: TracePoint.LayerPoint) throws -> [Double] {
        guard let reader = groups.first?.columns.role, let matrix = weights.linears[reader] else { return [] }
        let statistics = try calibrator.statistics(of: point, layer: layer, gram: false, keeps: true)
        return ReadInputs.shares(Self.scores(groups, ReadInputs(matrix: matrix, statistics: statistics)))
      }
      let heads = try shares(headGroups(layer), .attention)
      try calibrator.advanceAttention(layer)
      let channels = try shares(channelGroups(layer), .activated)
      try calibrator.advanceFeedForward(layer)
      return (heads, channels)
    }
  }

  /// The size of what each group adds to the reading matrix's output, over all tokens.
  private static func scores(_ groups: [DependencyGroup], _ inputs: ReadInputs) -> [Double] {
    let contributions = inputs.contributions
    return groups.map { group in group.columns.indices.reduce(0) { $0 + contributions[$1] } }
  }

  // MARK: One kind of group in one layer

  /// Chooses what stays, changes the reading matrix so that the rest may go, and installs it.
  private func prune(
    _ weights: LayerWeights, _ groups: [DependencyGroup], keep: Int, point: TracePoint.LayerPoint,
    _ layer: Int, _ type: DataType
  ) throws -> [Int] {
    guard keep < groups.count, let reader = groups.first?.columns.role, let matrix = weights.linears[reader]
    else { return Array(groups.indices) }
    let inputs = ReadInputs(
      matrix: matrix, statistics: try calibrator.statistics(of: point, layer: layer, gram: true, keeps: true))
    let scores = Self.scores(groups, inputs)
    let order = scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
    let kept = order.prefix(keep).sorted()
    let columns = kept.flatMap { groups[$0].columns.indices }
    let small =
      parts.compensates
      ? try inputs.compensated(columns, on: backend) : matrix.selectingColumns(columns)
    small.round(to: type)
    for row in 0..<matrix.rows {
      for column in 0..<matrix.columns { matrix[row, column] = 0 }
      for (place, column) in columns.enumerated() { matrix[row, column] = small[row, place] }
    }
    try weights.install([reader], in: calibrator.graph)
    return kept
  }

  private func keptRows(_ site: LinearSite, _ heads: [Int], _ channels: [Int]) -> [Int]? {
    let kept = heads.map { groups.heads[$0] } + channels.map { groups.channels[$0] }
    let rows = kept.flatMap { $0.rows }.filter { $0.role == site.role }.flatMap(\.indices)
    return rows.isEmpty ? nil : rows.sorted()
  }

  private func keptColumns(_ site: LinearSite, _ heads: [Int], _ channels: [Int]) -> [Int]? {
    let kept = heads.map { groups.heads[$0] } + channels.map { groups.channels[$0] }
    let columns = kept.map(\.columns).filter { $0.role == site.role }.flatMap(\.indices)
    return columns.isEmpty ? nil : columns
  }

  // MARK: Output

  private func write(
    _ tensors: [String: OutputTensor], heads: [Int], channels: [Int], to output: String
  ) throws {
    guard var object = source.configuration.object else { return }
    func write(_ counts: [Int], _ field: String, perLayer: String) {
      let most = counts.max() ?? 0
      object[field] = .integer(Int64(most))
      let differ = counts.contains { $0 != most }
      object[perLayer] = differ ? .array(counts.map { .integer(Int64($0)) }) : nil
    }
    if let field = fields.intermediate, parts.channels > 0 {
      write(channels, field, perLayer: WidthsPerLayer.channels)
    }
    if let names = fields.heads, parts.heads > 0 {
      write(heads, names.keyValue, perLayer: WidthsPerLayer.heads)
      let shared = configuration.queryHeads / configuration.keyValueHeads
      object[names.query] = .integer(Int64((heads.max() ?? 0) * shared))
      object[names.dimension] = .integer(Int64(configuration.headDimension))
    }
    let json = JSONValue.object(object)
    // What loads it must see the layer that was computed here.
    let read = try ModelRegistry.configuration(from: json)
    guard read.headDimension == configuration.headDimension,
      read.layers.indices.map({ read.keyValueHeads(of: $0) }) == heads,
      read.layers.indices.map({ read.intermediateSize(of: $0) }) == channels,
      read.layers.map(\.window) == configuration.layers.map(\.window)
    else { throw Problem.fixed(family: configuration.family, what: "a shape of this kind") }
    try SmallerModel(source: source, configuration: json).write(
      source.tensorNames.map { ($0, $0) }, replacing: tensors, to: output)
  }
}

extension StructuredPruner.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .fixed(let family, let what):
      "\(family) models have no field for \(what): such a model could not be loaded"
    case .centredNorms(let family):
      "\(family) models subtract the mean of the residual stream in their layer norms; components can be taken out only "
        + "where norms are RMSNorm"
    case .nothingLeft(let what): "no \(what) would be left"
    }
  }
}

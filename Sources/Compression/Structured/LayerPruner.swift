package import CPUBackend
package import Checkpoints
internal import Compute
internal import JSON
internal import Models

/// Takes whole layers out: those that turn the residual stream least over the calibration tokens (block influence of
/// ShortGPT, arXiv 2403.03853: `1 − mean cos(before, after)`). The output is an ordinary model with fewer layers.
package struct LayerPruner {
  private let source: Checkpoint
  private let configuration: ModelConfiguration
  private let inventory: TensorInventory
  private let fields: ShapeFields
  private let calibrator: Calibrator
  private let keptCount: Int

  /// Of each layer of the source, once it has run.
  package private(set) var influences: [Double] = []
  /// Layers of the source that stayed, ascending.
  package private(set) var kept: [Int] = []

  /// - Parameter part: of the layers to take out, rounded down.
  package init(
    _ source: Checkpoint, part: Double, calibration: CalibrationSet, backend: CPUBackend
  ) throws {
    self.source = source
    configuration = try ModelRegistry.configuration(from: source.configuration)
    guard let fields = ShapeFields.of(configuration.family) else {
      throw StructuredPruner.Problem.fixed(family: configuration.family, what: "the number of layers")
    }
    self.fields = fields
    let count = configuration.layers.count
    keptCount = count - Int(Double(count) * part)
    guard keptCount > 0 else { throw StructuredPruner.Problem.nothingLeft(what: "layers") }
    inventory = try TensorInventory(configuration, in: source)
    calibrator = try Calibrator(checkpoint: source, samples: calibration.samples, backend: backend)
  }

  /// Writes the smaller model.
  package mutating func run(output: String, progress: (Int, Int) -> Void = { _, _ in }) throws {
    let count = configuration.layers.count
    influences = []
    for layer in 0..<count {
      let before = calibrator.stream.floats
      try calibrator.advanceAttention(layer)
      try calibrator.advanceFeedForward(layer)
      influences.append(
        1 - Self.meanCosine(before, calibrator.stream.floats, width: configuration.hiddenSize))
      progress(layer + 1, count)
    }
    // Of equals the later one goes: the first layers make features of tokens.
    let order = (0..<count).sorted {
      influences[$0] != influences[$1] ? influences[$0] > influences[$1] : $0 < $1
    }
    kept = order.prefix(keptCount).sorted()
    try SmallerModel(source: source, configuration: try smallerConfiguration()).write(names, to: output)
  }

  /// The mean over rows of the cosine between two streams.
  static func meanCosine(_ left: [Float], _ right: [Float], width: Int) -> Double {
    let rows = left.count / width
    var sum = 0.0
    for row in 0..<rows {
      var (product, first, second) = (0.0, 0.0, 0.0)
      for index in row * width..<(row + 1) * width {
        let (a, b) = (Double(left[index]), Double(right[index]))
        product += a * b
        first += a * a
        second += b * b
      }
      sum += product / Swift.max((first * second).squareRoot(), .leastNormalMagnitude)
    }
    return sum / Double(Swift.max(rows, 1))
  }

  private var names: [(source: String, output: String)] {
    let decoder = configuration.decoder
    let prefixes = configuration.layers.indices.map { inventory.layerPrefix($0, decoder) }
    return source.tensorNames.compactMap { name in
      guard let layer = prefixes.firstIndex(where: { name.hasPrefix($0) }) else { return (name, name) }
      guard let place = kept.firstIndex(of: layer) else { return nil }
      return (name, prefixes[place] + name.dropFirst(prefixes[layer].count))
    }
  }

  private func smallerConfiguration() throws -> JSONValue {
    guard var object = source.configuration.object else { return source.configuration }
    for field in fields.layers where object[field] != nil { object[field] = .integer(Int64(kept.count)) }
    if let kinds = object["layer_types"]?.array, kinds.count == configuration.layers.count {
      object["layer_types"] = .array(kept.map { kinds[$0] })
    }
    let json = JSONValue.object(object)
    // What loads it must see the layers that stayed, windows included.
    let read = try ModelRegistry.configuration(from: json)
    guard read.layers == kept.map({ configuration.layers[$0] }) else {
      throw StructuredPruner.Problem.fixed(family: configuration.family, what: "this order of layers")
    }
    return json
  }
}

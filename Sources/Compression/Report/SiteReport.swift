internal import CPUBackend
internal import Checkpoints
internal import Compute
package import JSON
internal import KernelBackend
internal import Models

/// What the report says of one linear layer; also what a resumed run remembers of it.
package struct SiteReport: Sendable, Equatable {
  package var layer: Int
  package var module: String
  package var outputs: Int
  package var inputs: Int
  /// "int4 in groups of 128"; nil where the layer was left alone.
  package var store: String?
  package var bytes: Int?
  package var weightError: Double?
  package var outputError: Double?
  package var outlierRatio: Double?
  package var absoluteMaximum: Double?
  /// Part of the weights that are zero.
  package var zeros: Double?
  package var notes: [String]
  /// Why devices widen the store to 16 bits: all of them, and the oldest that there are kernels for. nil where they
  /// multiply what is stored.
  package var widening: String?
  package var wideningOnOldest: String?
  /// Entry of `config_groups`, or of `sparsity_config`, where the format has one.
  package var group: JSONValue?

  package var isCompressed: Bool { store != nil }

  init(_ site: CompressedSite, format: CheckpointFormat) {
    layer = site.site.layer
    module = site.site.module
    outputs = site.site.outputs
    inputs = site.site.inputs
    notes = site.notes
    guard let result = site.result else { return }
    store = result.store.summary
    bytes = result.store.byteCount + (result.correction?.byteCount ?? 0)
    weightError = site.errors.weight
    outputError = site.errors.output
    outlierRatio = site.errors.outlierRatio
    absoluteMaximum = site.errors.absoluteMaximum
    var count = 0
    let elements = unsafe result.values.elements
    for index in elements.indices where unsafe elements[index] == 0 { count += 1 }
    zeros = Double(count) / Double(Swift.max(outputs * inputs, 1))
    if format != .dense {
      widening = KernelBackend.widening(of: result.store)
      wideningOnOldest = KernelBackend.widening(of: result.store, capability: Self.oldestCapability)
    }
    group = QuantizationConfigurationWriter.entry(of: result.store, format: format).map { .object($0) }
  }

  /// Of the devices that the kernels are built for.
  private static let oldestCapability = 80

  init?(_ json: JSONValue) {
    guard let layer = json["layer"]?.int, let module = json["module"]?.string,
      let outputs = json["outputs"]?.int, let inputs = json["inputs"]?.int
    else { return nil }
    self.layer = layer
    self.module = module
    self.outputs = outputs
    self.inputs = inputs
    store = json["store"]?.string
    bytes = json["bytes"]?.int
    weightError = json["weight_error"]?.double
    outputError = json["output_error"]?.double
    outlierRatio = json["outlier_ratio"]?.double
    absoluteMaximum = json["absolute_maximum"]?.double
    zeros = json["zeros"]?.double
    notes = json["notes"]?.array?.compactMap(\.string) ?? []
    widening = json["widened"]?.string
    wideningOnOldest = json["widened_on_older_devices"]?.string
    group = json["group"]
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "layer": .integer(Int64(layer)), "module": .string(module), "outputs": .integer(Int64(outputs)),
      "inputs": .integer(Int64(inputs)),
    ]
    object["store"] = store.map { .string($0) }
    object["bytes"] = bytes.map { .integer(Int64($0)) }
    object["weight_error"] = weightError.map { .double($0) }
    object["output_error"] = outputError.map { .double($0) }
    object["outlier_ratio"] = outlierRatio.map { .double($0) }
    object["absolute_maximum"] = absoluteMaximum.map { .double($0) }
    object["zeros"] = zeros.map { .double($0) }
    if !notes.isEmpty { object["notes"] = .array(notes.map { .string($0) }) }
    object["widened"] = widening.map { .string($0) }
    object["widened_on_older_devices"] = wideningOnOldest.map { .string($0) }
    object["group"] = group
    return .object(object)
  }
}

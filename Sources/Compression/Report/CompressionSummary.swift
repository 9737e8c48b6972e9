package import Checkpoints
internal import JSON
package import Models

/// What a finished run knows by itself; quality and speed are measured on the output afterwards.
package struct CompressionSummary: Sendable {
  package let recipe: Recipe
  package let format: CheckpointFormat
  package let sourcePath: String
  package let sourceBytes: Int
  package let output: String
  package let calibrationSamples: Int
  package let calibrationTokens: Int
  package let calibrationDigest: String?
  package let sites: [SiteReport]
  package let foldsRefused: [LinearSite.Role: String]

  init(
    recipe: Recipe, format: CheckpointFormat, source: Checkpoint, output: String,
    calibration: CalibrationSet?,
    sites: [SiteReport], foldsRefused: [LinearSite.Role: String]
  ) {
    self.recipe = recipe
    self.format = format
    sourcePath = source.path
    sourceBytes = CheckpointSummary(source).fileBytes
    self.output = output
    calibrationSamples = calibration?.samples.count ?? 0
    calibrationTokens = calibration?.tokenCount ?? 0
    calibrationDigest = calibration?.digest
    self.sites = sites
    self.foldsRefused = foldsRefused
  }

  /// Of a model whose matrices were made smaller instead of being stored otherwise.
  package init(
    structured parts: StructuredPruner.Parts, layers: Double = 0, hidden: Double = 0, source: Checkpoint,
    output: String, calibration: CalibrationSet
  ) {
    var recipe = Recipe(method: "structured")
    recipe.scheme.bits = nil
    recipe.scheme.sparsity = nil
    recipe.options.prunedHeads = parts.heads
    recipe.options.prunedChannels = parts.channels
    recipe.options.prunedLayers = layers
    recipe.options.prunedHidden = hidden
    self.init(
      recipe: recipe, format: .dense, source: source, output: output, calibration: calibration, sites: [],
      foldsRefused: [:])
  }

  package var compressed: [SiteReport] { sites.filter(\.isCompressed) }

  /// Bits for each weight of the compressed layers, scales and all else included.
  package var averageBits: Double? {
    let elements = compressed.reduce(0) { $0 + $1.outputs * $1.inputs }
    guard elements > 0 else { return nil }
    return Double(compressed.reduce(0) { $0 + ($1.bytes ?? 0) }) * 8 / Double(elements)
  }
}

/// Fields of gpuinfer's own, with one number a layer, for what structured pruning leaves where layers differ:
///
/// ```
/// "intermediate_sizes"               feed-forward channels; the largest is "intermediate_size"
/// "num_key_value_heads_per_layer"    the largest is "num_key_value_heads"; query heads are as many for each as in the model
/// ```
package enum WidthsPerLayer {
  package static let channels = "intermediate_sizes"
  package static let heads = "num_key_value_heads_per_layer"

  static func read(
    _ reader: ConfigurationReader, into configuration: inout ModelConfiguration
  ) throws(ModelError) {
    let widest = configuration
    if let widths = try numbers(
      channels, ConfigurationRange.intermediate, most: widest.intermediateSize, "intermediate_size", reader,
      layers: widest.layers.count)
    {
      for (layer, width) in widths.enumerated() where width != widest.intermediateSize {
        configuration.layers[layer].intermediateSize = width
      }
    }
    if let counts = try numbers(
      heads, ConfigurationRange.heads, most: widest.keyValueHeads, "num_key_value_heads", reader,
      layers: widest.layers.count)
    {
      guard case .rope = widest.decoder.positions, case .separate = widest.decoder.attention else {
        throw reader.unsupported(heads, "a field", ["no such field in \(widest.family) models"])
      }
      for (layer, count) in counts.enumerated() where count != widest.keyValueHeads {
        configuration.layers[layer].keyValueHeads = count
      }
    }
  }

  /// - Parameter most: what the largest must be, as `field`'s ordinary counterpart says.
  private static func numbers(
    _ field: String, _ range: ClosedRange<Int>, most: Int, _ counterpart: String,
    _ reader: ConfigurationReader, layers: Int
  ) throws(ModelError) -> [Int]? {
    guard reader.contains(field) else { return nil }
    let numbers = try reader.numbers(field, in: Double(range.lowerBound)...Double(range.upperBound))
    if let odd = numbers.first(where: { $0 != $0.rounded() }) {
      throw reader.unsupported(field, "\(odd)", ["whole numbers"])
    }
    guard numbers.count == layers else {
      throw reader.conflict(
        field, "num_hidden_layers",
        reason: "\(numbers.count) numbers are not one for each of \(layers) layers")
    }
    guard numbers.max() == Double(most) else {
      throw reader.conflict(field, counterpart, reason: "the largest is not \(most)")
    }
    return numbers.map { Int($0) }
  }
}

internal import CPUBackend
package import Checkpoints
package import Compute
internal import JSON
internal import Models
package import Numerics

/// A tensor of the output, under its full name.
package struct OutputTensor {
  package let name: String
  package let tensor: Tensor
  /// As the file states it; a packed tensor's words have the packed shape.
  package var shape: [Int] { tensor.shape.array }

  package init(_ name: String, _ tensor: Tensor) {
    self.name = name
    self.tensor = tensor
  }
}

/// How compressed weights are written.
package enum OutputFormat: String, Sendable, CaseIterable {
  /// What vLLM, transformers and gpuinfer load; stores that it has no word for get tensors of gpuinfer's own.
  case compressedTensors = "compressed-tensors"
  /// Dequantised weights in the type of the original: loads everywhere, saves nothing.
  case dense
}

extension OutputFormat {
  /// `quantization_config` for these modules; those left alone, or dense, are listed in "ignore". nil where nothing
  /// needs one.
  static func configuration(_ sites: [SiteReport]) -> JSONValue? {
    guard sites.contains(where: { $0.group != nil }) else { return nil }
    var writer = QuantizationConfigurationWriter(format: .compressedTensors)
    writer.addDense("lm_head")
    for site in sites {
      if let entry = site.group?.object {
        writer.add(site.module, entry: entry)
      } else {
        writer.addDense(site.module)
      }
    }
    return writer.json
  }

  /// The tensors of one module.
  package func tensors(
    of site: CompressedSite, values type: DataType, transposed: Bool
  ) throws(QuantizationError) -> [OutputTensor] {
    guard let result = site.result else { return [] }
    let module = site.site.module
    switch self {
    case .dense:
      let matrix = transposed ? result.values.transposed() : result.values
      return [OutputTensor(module + ".weight", matrix.tensor(type))]
    case .compressedTensors:
      let writer = LinearWriter(format: .compressedTensors, module: module)
      return try writer.tensors(of: result.store, correction: result.correction).map {
        OutputTensor(module + "." + $0.suffix, $0.tensor)
      }
    }
  }
}

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

extension CheckpointFormat {
  /// `quantization_config` for these modules; those left alone, or dense, are listed. nil where nothing needs one.
  func configuration(_ sites: [SiteReport]) throws(QuantizationError) -> JSONValue? {
    guard sites.contains(where: { $0.group != nil }) else { return nil }
    var writer = QuantizationConfigurationWriter(format: self)
    writer.addDense("lm_head")
    for site in sites {
      if let entry = site.group?.object {
        writer.add(site.module, entry: entry)
      } else {
        writer.addDense(site.module)
      }
    }
    try writer.validate()
    return writer.json
  }

  /// The tensors of one module.
  package func tensors(
    of site: CompressedSite, values type: DataType, transposed: Bool
  ) throws(QuantizationError) -> [OutputTensor] {
    guard let result = site.result else { return [] }
    let module = site.site.module
    if self == .dense {
      // The values, not the store: they keep what rounding of activations a dense weight cannot say.
      let matrix = transposed ? result.values.transposed() : result.values
      return [OutputTensor(module + ".weight", matrix.tensor(type))]
    }
    return try LinearWriter(format: self, module: module).tensors(
      of: result.store, correction: result.correction
    ).map { OutputTensor(module + "." + $0.suffix, $0.tensor) }
  }

  /// What scales are rounded to, for a model with weights of `type`. GPTQ and AWQ hold 16 bits, AWQ only float16.
  func scaleType(_ type: DataType) -> DataType {
    switch self {
    case .compressedTensors, .dense: type
    case .gptq, .gptqV2: type == .float32 ? .float16 : type
    case .awq: .float16
    }
  }
}

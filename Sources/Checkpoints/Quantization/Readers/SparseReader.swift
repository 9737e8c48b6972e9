internal import Compute
internal import Numerics

/// Weights with a bit mask (Docs/sparse-models.md):
///
///     sparse-24-bitmask       compressed [N, K / 2]   bitmask uint8 [N, ceil(K / 8)]   shape int64 [2, 1]
///     sparse-bitmask          compressed [kept]       the same mask, shape int64 [2]   row_offsets int64 [N]
///     sparse-pack-quantized   weight_packed int32 [N, ceil(K / 2 · b / 32)] or [words], the mask, shape, for unstructured
///                             masks row_offsets in words; scales and zeros as in pack-quantized
///
/// The first two are compressed-tensors' own (0.9.4 writes them, 0.20 no longer does), the third is gpuinfer's.
extension ModuleTensors {
  func describeSparse(
    _ scheme: LinearScheme, _ pattern: LinearScheme.SparsePattern, _ codes: Settings?
  ) throws(QuantizationError) -> QuantizedLinear {
    let (rows, width) = try matrix("bitmask", [.uint8])
    let entry = try entry("shape", [.int64, .int32])
    guard entry.shape == [2] || entry.shape == [2, 1],
      let values = try? checkpoint.rawTensor(entry.name).integers(), values.count == 2
    else { throw .tensorShape(entry.name, found: entry.shape, expected: "[2]") }
    // What the shape claims is multiplied and allocated, so it must agree with what is there.
    guard values[0] == rows, values[1] > 0, values[1] <= 1 << 32, (values[1] + 7) / 8 == width else {
      throw .tensorShape(
        "\(module).bitmask", found: [rows, width],
        expected: "a bit for each of the \(values[0]) × \(values[1]) weights that \"\(entry.name)\" speaks of"
      )
    }
    var suffixes = ["bitmask", "shape"]
    if pattern == .unstructured { suffixes.append("row_offsets") }
    suffixes +=
      codes == nil
      ? ["compressed"]
      : ["weight_packed", "weight_scale", "weight_zero_point", "input_scale", "input_zero_point"]
    return linear(scheme, rows, Int(values[1]), suffixes)
  }

  func readSparse(
    _ linear: QuantizedLinear, _ pattern: LinearScheme.SparsePattern, _ settings: Settings?
  ) throws(ReadFailure) -> SparseWeight {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let mask = try read("bitmask", [.uint8], [outputs, (inputs + 7) / 8])
    let shape = pattern == .unstructured ? nil : [outputs, inputs / 2]
    let starts = pattern == .unstructured ? try read("row_offsets", [.int64], [outputs]) : nil
    let values: SparseWeight.Values
    if let settings {
      let groupSize = try groupSize(settings, inputs: inputs)
      let groups = inputs / groupSize
      let words = shape.map { [$0[0], PackedCodes.wordCount($0[1], bits: settings.bits)] }
      values = .codes(
        SparseCodes(
          bits: settings.bits, groupSize: groupSize, words: try vector("weight_packed", [.int32], words),
          scales: try readScales(outputs, groups, settings), zero: try readZero(outputs, groups, settings),
          activations: try readActivations(settings)))
    } else {
      values = .floats(try vector("compressed", Self.scaleTypes, shape))
    }
    return try make { () throws(StoreError) in
      let weight = try SparseWeight(
        outputs: outputs, inputs: inputs, mask: mask,
        pattern: starts.map { .rows(starts: $0) } ?? .twoOfFour, values: values)
      // Rows are read, and moved, by what the mask and the offsets say.
      try weight.validateStructure()
      return weight
    }
  }

  /// A tensor of this shape, or where there is none of one dimension.
  private func vector(
    _ suffix: String, _ types: [DataType], _ shape: [Int]?
  ) throws(ReadFailure) -> Tensor {
    let count = checkpoint.tensors["\(module).\(suffix)"]?.elementCount ?? 0
    return try read(suffix, types, shape ?? [count])
  }
}

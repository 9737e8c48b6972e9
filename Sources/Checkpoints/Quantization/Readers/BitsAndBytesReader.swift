internal import Compute
internal import JSON
internal import Numerics

/// bitsandbytes' layouts:
///
///     int8    weight int8 [N, K], SCB float32 [N]; W = weight · SCB / 127
///     4-bit   weight uint8 [N · K / 2, 1], the even element of a pair in the high nibble;
///             weight.absmax float32 for each block of elements, or uint8 into weight.nested_quant_map with
///             weight.nested_absmax for each nested block; weight.quant_map float32 [16];
///             weight.quant_state.bitsandbytes__nf4: bytes of JSON with shape, blocksize, nested_blocksize, nested_offset
extension ModuleTensors {
  func describeBitsAndBytes(_ scheme: LinearScheme) throws(QuantizationError) -> QuantizedLinear {
    if case .bitsandbytesInt8 = scheme {
      let (outputs, inputs) = try matrix("weight", [.int8])
      return linear(scheme, outputs, inputs, ["weight", "SCB", "weight_format"])
    }
    let state = try state()
    return linear(
      scheme, state.outputs, state.inputs,
      [
        "weight", "weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map",
        state.suffix,
      ])
  }

  func readBitsAndBytesInt8(_ linear: QuantizedLinear, threshold: Float?) throws(ReadFailure) -> IntegerWeight
  {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    if has("weight_format") {
      let format = try raw("weight_format", [.uint8])
      let values = (try? format.integers()) ?? []
      guard values.allSatisfy({ $0 == 0 }) else {
        throw .quantization(
          .unsupported("\(module).weight_format", found: "\(values)", supported: ["0, rows as they are"]))
      }
    }
    let scales = try read("SCB", [.float32], [outputs]).floats.map { $0 / 127 }
    guard let codes = WordLayouts.packed(signed: try read("weight", [.int8], [outputs, inputs]), bits: 8)
    else {
      throw .store(.bits(8, supported: IntegerWeight.supportedBits))
    }
    return try make { () throws(StoreError) in
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: 8, groupSize: inputs, codes: codes,
        scales: HostTensor.copy(scales, .float32, Shape(outputs, 1)),
        activations: .token(outlierThreshold: threshold))
    }
  }

  func readBitsAndBytes4Bit(_ linear: QuantizedLinear) throws(ReadFailure) -> CodebookWeight {
    let state: FourBitState
    do throws(QuantizationError) { state = try self.state() } catch { throw .quantization(error) }
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let groupSize = try groupSize(state.blockSize, inputs: inputs)
    let packed = try raw("weight", [.uint8])
    guard packed.elementCount == outputs * inputs / 2, inputs % 2 == 0 else {
      throw .quantization(
        .tensorShape(packed.name, found: packed.shape, expected: "\(outputs * inputs / 2) bytes"))
    }
    let scales = try readScales(outputs * (inputs / groupSize), state)
    let width = PackedCodes.wordCount(inputs, bits: 4)
    let codes = unsafe HostTensor.make(.int32, Shape(outputs, width)) { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
      for row in 0..<outputs {
        for pair in 0..<inputs / 2 {
          // The first of a pair is the high nibble there, the low one here.
          let byte = unsafe packed.bytes[row * inputs / 2 + pair]
          unsafe base.storeBytes(
            of: byte >> 4 | byte << 4, toByteOffset: row * width * 4 + pair, as: UInt8.self)
        }
      }
    }
    let table = try read("weight.quant_map", [.float32], [16])
    return try make { () throws(StoreError) in
      try CodebookWeight(
        outputs: outputs, inputs: inputs, codes: codes, table: table, groupSize: groupSize,
        scales: HostTensor.copy(scales, .float32, Shape(outputs, inputs / groupSize)))
    }
  }

  private func readScales(_ count: Int, _ state: FourBitState) throws(ReadFailure) -> [Float] {
    guard let nested = state.nestedBlockSize else {
      return try read("weight.absmax", [.float32], [count]).floats
    }
    let codes = try read("weight.absmax", [.uint8], [count])
    let map = try read("weight.nested_quant_map", [.float32], [256])
    let scales = try read("weight.nested_absmax", [.float32], [(count + nested - 1) / nested])
    return (0..<count).map { index in
      map.float(at: codes.integer(at: index)) * scales.float(at: index / nested) + state.nestedOffset
    }
  }

  // MARK: The state kept as JSON

  private struct FourBitState {
    var suffix: String
    var outputs: Int
    var inputs: Int
    var blockSize: Int
    var nestedBlockSize: Int?
    var nestedOffset: Float
  }

  private static let stateSuffixes = ["nf4", "fp4"].map { "weight.quant_state.bitsandbytes__" + $0 }

  private func state() throws(QuantizationError) -> FourBitState {
    guard let suffix = Self.stateSuffixes.first(where: has) else {
      throw .missingTensor("\(module).\(Self.stateSuffixes[0])")
    }
    let entry = try entry(suffix, [.uint8])
    guard entry.byteRange.count <= 1 << 16, let raw = try? checkpoint.rawTensor(entry.name),
      let json = try? JSONValue.parse(unsafe raw.withBytes { unsafe [UInt8]($0) }), json.object != nil
    else { throw .badField(entry.name, found: "\(entry.byteRange.count) bytes", allowed: "a JSON object") }
    let fields = QuantizationFields(json, path: entry.name + ": ")
    let shape = fields.value("shape")?.array?.compactMap(\.int) ?? []
    // The weight has half a byte an element; a shape that claims more must not size anything.
    guard shape.count == 2, shape[0] > 0, shape[1] > 0,
      case let (elements, overflow) = shape[0].multipliedReportingOverflow(by: shape[1]), !overflow,
      elements / 2 <= checkpoint.tensors["\(module).weight"]?.byteRange.count ?? 0
    else { throw fields.bad("shape", "two positive integers that fit the weight") }
    let blockSize = try fields.required("blocksize", try fields.integer("blocksize"))
    guard blockSize > 0 else { throw fields.bad("blocksize", "a positive integer") }
    let nested = try fields.integer("nested_blocksize")
    if let nested, nested <= 0 { throw fields.bad("nested_blocksize", "a positive integer") }
    return FourBitState(
      suffix: suffix, outputs: shape[0], inputs: shape[1], blockSize: blockSize, nestedBlockSize: nested,
      nestedOffset: Float(try fields.number("nested_offset") ?? 0))
  }
}

import Checkpoints
import Compute
import JSON
import Numerics
import TestSupport
import Testing

/// Conversions between formats move codes and change none.
@Suite struct ConversionTests {
  private struct Stored: Equatable {
    var type: DataType
    var shape: [Int]
    var bytes: [UInt8]
  }

  private func tensors(_ checkpoint: Checkpoint) throws -> [String: Stored] {
    var tensors: [String: Stored] = [:]
    for name in checkpoint.tensorNames {
      let raw = try checkpoint.rawTensor(name)
      tensors[name] = Stored(
        type: raw.dataType, shape: raw.shape, bytes: unsafe raw.withBytes { unsafe [UInt8]($0) })
    }
    return tensors
  }

  private func stores(_ checkpoint: Checkpoint) throws -> [String: [Float]] {
    var stores: [String: [Float]] = [:]
    for module in checkpoint.linearModules {
      if let layer = try checkpoint.linear(module) {
        stores[module] = try checkpoint.store(of: layer).dequantized()
      }
    }
    return stores
  }

  @discardableResult
  private func convert(
    _ source: Checkpoint, _ format: CheckpointFormat, _ directory: TemporaryDirectory, _ name: String
  ) throws -> Checkpoint {
    let path = directory.path + "/" + name
    try CheckpointConversion(source, to: format).write(to: path, tokenizer: source.path)
    return try Checkpoint.open(path)
  }

  @Test(arguments: [
    ("gptq-4bit", CheckpointFormat.compressedTensors, CheckpointFormat.gptq),
    ("gptq-4bit", .gptqV2, .gptq), ("gptq-4bit", .awq, .gptq), ("gptq-4bit-asym", .compressedTensors, .gptq),
    ("gptq-2bit-v2", .compressedTensors, .gptqV2), ("gptq-3bit-v2-act-order", .compressedTensors, .gptqV2),
    ("gptq-8bit-channel", .compressedTensors, .gptqV2), ("gptq-gpt2", .awq, .gptqV2),
    ("gptq-bloom", .compressedTensors, .gptq), ("awq-gemm", .compressedTensors, .awq),
    ("awq-gemm", .gptqV2, .awq), ("ct-w4a16", .gptq, .compressedTensors),
    ("ct-w4a16-asym-act-order", .gptqV2, .compressedTensors), ("gptqmodel-4bit", .compressedTensors, .gptq),
    ("gptqmodel-4bit-act-order", .compressedTensors, .gptq), ("gptqmodel-8bit", .gptqV2, .gptq),
    ("autoawq-gemm", .compressedTensors, .awq),
  ]) func `there and back gives the same bytes`(
    _ fixture: String, _ middle: CheckpointFormat, _ end: CheckpointFormat
  ) throws {
    let source = try Checkpoint.open(Fixtures.path("quantized/" + fixture))
    let directory = try TemporaryDirectory()
    let there = try convert(source, middle, directory, "there")
    #expect(try stores(there) == stores(source))
    let back = try convert(there, end, directory, "back")
    let (found, expected) = (try tensors(back), try tensors(source))
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, tensor) in expected { #expect(found[name] == tensor, "\(name)") }
  }

  /// What is written in the format it was read from is what was read.
  @Test(arguments: [
    "ct-w8a8", "ct-fp8-dynamic", "ct-fp8-static", "ct-fp8-block", "ct-mixed", "ct-w4a16",
    "ct-w4a16-asym-act-order", "ct-sparse-24", "ct-sparse-bitmask",
  ]) func `the same format again`(_ fixture: String) throws {
    let source = try Checkpoint.open(Fixtures.path("quantized/" + fixture))
    let directory = try TemporaryDirectory()
    let again = try convert(source, .compressedTensors, directory, "again")
    #expect(try tensors(again) == tensors(source))
    let third = try convert(again, .compressedTensors, directory, "third")
    #expect(third.configuration == again.configuration)
  }

  @Test func `GGUF blocks of Q4_0 and Q8_0 are integers in groups of 32`() throws {
    var random = SeededGenerator(seed: 1)
    for type in [GGMLType.q40, .q80] {
      let values = random.floats(4 * 64)
      let bytes = try #require(type.encode(values))
      let blocks = try BlockWeight(
        outputs: 4, inputs: 64, type: type,
        blocks: HostTensor.copy(bytes, .uint8, Shape(4, bytes.count / 4)))
      let tensors = try LinearWriter(format: .compressedTensors, module: "m").tensors(of: .blocks(blocks))
      let scales = try #require(tensors.first { $0.suffix == "weight_scale" })
      let codes = try #require(tensors.first { $0.suffix == "weight_packed" })
      let weight = try IntegerWeight(
        outputs: 4, inputs: 64, bits: type == .q40 ? 4 : 8, groupSize: 32, codes: codes.tensor,
        scales: scales.tensor)
      #expect(
        LinearWeight.Store.integer(weight).dequantized() == LinearWeight.Store.blocks(blocks).dequantized())
    }
  }

  // MARK: Sparse and dense

  /// Sparse codes are read as they were written, byte for byte.
  @Test(arguments: [SparseWeight.Form.twoOfFour, .rows], [2, 4, 8])
  func `sparse codes there and back`(_ form: SparseWeight.Form, _ bits: Int) throws {
    var random = SeededGenerator(seed: UInt64(bits))
    let codes = (0..<8 * 16).flatMap { _ -> [UInt8] in
      let order = random.permutation(4)
      return (0..<4).map { order[$0] < 2 ? random.codes(1, bits: bits)[0] : 1 }
    }
    let integers = try IntegerWeight(
      outputs: 8, inputs: 64, bits: bits, groupSize: 32,
      codes: HostTensor.copy(
        (0..<8).flatMap { PackedCodes.pack([UInt8](codes[$0 * 64..<($0 + 1) * 64]), bits: bits) }, .int32,
        Shape(8, 2 * bits)),
      scales: HostTensor.copy(random.floats(16, 0.1, 1).map(\.float16Bits), .float16, Shape(8, 2)),
      zero: .integers(HostTensor.copy([UInt8](repeating: 1, count: 16), .uint8, Shape(8, 2))))
    let sparse = LinearWeight.Store.sparse(
      try #require(try SparseWeight.packing(.integer(integers), as: form)))
    let directory = try TemporaryDirectory()
    var configuration = QuantizationConfigurationWriter(format: .compressedTensors)
    try configuration.add("m", sparse)
    let parts = try LinearWriter(format: .compressedTensors, module: "m").tensors(of: sparse)
    var writer = try SafetensorsWriter(
      path: directory.path + "/model.safetensors",
      tensors: parts.map {
        .init(name: "m." + $0.suffix, dataType: $0.tensor.dataType, shape: $0.tensor.shape.array)
      })
    for part in parts {
      try unsafe writer.write(
        "m." + part.suffix,
        UnsafeRawBufferPointer(start: part.tensor.view.address, count: part.tensor.byteCount))
    }
    try writer.finish()
    try directory.write(
      "config.json", JSONValue.object(["quantization_config": configuration.json]).serialized())
    let checkpoint = try Checkpoint.open(directory.path)
    #expect(checkpoint.linearModules == ["m"])
    let linear = try #require(try checkpoint.linear("m"))
    let store = try checkpoint.store(of: linear)
    guard case .sparse(let found) = store else { throw Unexpected() }
    #expect(found.isTwoOfFour == (bits > 0 && "\(form)" == "twoOfFour"))
    #expect(store.dequantized() == LinearWeight.Store.integer(integers).dequantized())
    let again = try convert(checkpoint, .compressedTensors, directory, "again")
    #expect(try tensors(again) == tensors(checkpoint))
  }

  @Test(arguments: ["ct-sparse-24", "ct-sparse-bitmask", "ct-w4a16", "gptq-gpt2", "bnb-nf4"])
  func `dense is what the stores stand for`(_ fixture: String) throws {
    let source = try Checkpoint.open(Fixtures.path("quantized/" + fixture))
    let directory = try TemporaryDirectory()
    let dense = try convert(source, .dense, directory, "dense")
    #expect(dense.configuration["quantization_config"] == nil)
    for (module, values) in try stores(source) {
      let raw = try dense.rawTensor(module + ".weight")
      var found = try raw.floats()
      if fixture == "gptq-gpt2" {
        let (rows, columns) = (raw.shape[0], raw.shape[1])
        let file = found
        found = (0..<columns).flatMap { column in (0..<rows).map { file[$0 * columns + column] } }
      }
      #expect(found == values, "\(module)")
      if fixture.hasPrefix("ct-sparse") { #expect(raw.dataType == .bfloat16) }
    }
  }

  struct Unexpected: Error {}

  // MARK: What is refused

  @Test(arguments: [
    ("gptq-3bit-v2-act-order", CheckpointFormat.awq, "codes of 4 bits, not 3"),
    ("ct-w4a16-asym-act-order", .awq, "no act-order"),
    ("ct-w8a8", .gptq, "no rounding of activations"), ("bnb-int8", .awq, "no rounding of activations"),
    ("bnb-nf4", .compressedTensors, "no 4-bit codebook"), ("bnb-nf4", .gptq, "stored as 4-bit codebook"),
    ("ct-fp8-dynamic", .gptqV2, "stored as float8 E4M3"), ("ct-w8a8", .dense, "does not round activations"),
    ("ct-sparse-24", .gptq, "stored as 2:4 bfloat16"),
  ]) func `what would be lost is refused`(
    _ fixture: String, _ format: CheckpointFormat, _ reason: String
  ) throws {
    let source = try Checkpoint.open(Fixtures.path("quantized/" + fixture))
    let directory = try TemporaryDirectory()
    #expect {
      try convert(source, format, directory, "out")
    } throws: { "\($0)".contains(reason) }
    // Nothing stays behind.
    #expect(try directory.names.isEmpty)
  }

  @Test func `scales and zeros that a format has no number for are refused`() throws {
    func weight(_ zero: UInt8, _ scale: Float, _ type: DataType) throws -> LinearWeight.Store {
      let shape = Shape(8, 1)
      let scales =
        switch type {
        case .bfloat16:
          HostTensor.copy([UInt16](repeating: BFloat16(scale).bitPattern, count: 8), type, shape)
        default: HostTensor.copy([Float](repeating: scale, count: 8), .float32, shape)
        }
      return .integer(
        try IntegerWeight(
          outputs: 8, inputs: 32, bits: 4, groupSize: 32,
          codes: HostTensor.copy([UInt32](repeating: 0, count: 32), .int32, Shape(8, 4)), scales: scales,
          zero: .integers(HostTensor.copy([UInt8](repeating: zero, count: 8), .uint8, shape))))
    }
    func message(_ format: CheckpointFormat, _ store: LinearWeight.Store) -> String {
      do {
        _ = try LinearWriter(format: format, module: "m").tensors(of: store)
        return "written"
      } catch { return "\(error)" }
    }
    #expect(message(.gptq, try weight(1, 0.5, .float32)) == "written")
    #expect(message(.gptq, try weight(0, 0.5, .float32)).contains("has no zero of 0"))
    #expect(message(.gptqV2, try weight(0, 0.5, .float32)) == "written")
    #expect(message(.gptqV2, try weight(1, 1 / 3, .float32)).contains("its scales have 16 bits"))
    // Far below what float16 reaches.
    #expect(message(.awq, try weight(1, 0x1p-30, .bfloat16)).contains("its scales have 16 bits"))
    #expect(message(.gptq, try weight(1, 0x1p-30, .bfloat16)) == "written")
    #expect(message(.compressedTensors, try weight(0, 1 / 3, .float32)) == "written")
  }

  @Test func `a plain model and an existing directory are refused`() throws {
    let plain = try Checkpoint.open(Fixtures.path("tiny/llama"))
    #expect(throws: CheckpointError.nothingToConvert(path: plain.path)) {
      try CheckpointConversion(plain, to: .gptq)
    }
    let source = try Checkpoint.open(Fixtures.path("quantized/gptq-4bit"))
    let directory = try TemporaryDirectory()
    #expect(throws: CheckpointError.alreadyExists(path: directory.path)) {
      try CheckpointConversion(source, to: .awq).write(to: directory.path, tokenizer: source.path)
    }
  }
}

import Checkpoints
import Compute
import JSON
import Numerics
import TestSupport
import Testing

/// Every way the quantised part of a checkpoint can be wrong, each made from a good one.
@Suite struct QuantizedErrorTests {
  /// A directory with one layer `m`.
  private func checkpoint(
    _ quantization: JSONValue, _ tensors: [(String, DataType, [Int])], _ directory: TemporaryDirectory,
    fill: [String: [UInt8]] = [:]
  ) throws -> Checkpoint {
    try directory.write(
      "config.json", JSONValue.object(["quantization_config": quantization]).serialized())
    var writer = try SafetensorsWriter(
      path: directory.path + "/model.safetensors",
      tensors: tensors.map { .init(name: "m." + $0.0, dataType: $0.1, shape: $0.2) })
    for (name, type, shape) in tensors {
      let count = shape.reduce(1, *) * type.byteCount
      try writer.write("m." + name, fill[name] ?? [UInt8](repeating: 0, count: count))
    }
    try writer.finish()
    return try Checkpoint.open(directory.path)
  }

  private func message(
    _ quantization: JSONValue, _ tensors: [(String, DataType, [Int])], fill: [String: [UInt8]] = [:]
  ) throws -> String {
    let directory = try TemporaryDirectory()
    do {
      let checkpoint = try checkpoint(quantization, tensors, directory, fill: fill)
      guard let linear = try checkpoint.linear("m") else { return "plain" }
      try checkpoint.store(of: linear).validateValues()
      return "fine"
    } catch let error as CheckpointError {
      #expect(error.exitCode == 65)
      return "\(error)"
    } catch { return "\(error)" }
  }

  private static func gptq(_ changes: JSONObject = [:]) -> JSONValue {
    var json: JSONObject = ["quant_method": "gptq", "bits": 4, "group_size": 32, "sym": true]
    for (key, value) in changes { json[key] = value }
    return .object(json)
  }

  private static let gptqTensors: [(String, DataType, [Int])] = [
    ("qweight", .int32, [8, 16]), ("qzeros", .int32, [2, 2]), ("scales", .float16, [2, 16]),
    ("g_idx", .int32, [64]),
  ]

  private func gptq(
    _ changes: JSONObject = [:], without: String? = nil, with: [(String, DataType, [Int])] = [],
    index: [Int32]? = nil
  ) throws -> String {
    let replaced = Set(with.map(\.0) + [without].compactMap(\.self))
    let groups = index ?? (0..<64).map { Int32($0 / 32) }
    let bytes = groups.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    return try message(
      Self.gptq(changes), Self.gptqTensors.filter { !replaced.contains($0.0) } + with,
      fill: ["g_idx": bytes])
  }

  @Test func `GPTQ`() throws {
    #expect(try gptq() == "fine")
    #expect(
      try gptq(["bits": 5]).contains(
        #""quantization_config.bits" is 5, which is not supported; supported: 2, 3, 4, 8"#))
    #expect(try gptq(["bits": "4"]).contains(#""quantization_config.bits" is "4"; it must be an integer"#))
    #expect(try gptq(["group_size": 24]).contains("a group size of 24 does not divide the 64 inputs"))
    #expect(try gptq(["group_size": 0]).contains("must be a positive integer, or -1"))
    #expect(try gptq(["group_size": 16]).contains(#"tensor "m.scales" has shape [2, 16], expected [4, 16]"#))
    #expect(try gptq(["checkpoint_format": "marlin"]).contains(#"is "marlin", which is not supported"#))
    #expect(try gptq(["pack_dtype": "int8"]).contains(#""quantization_config.pack_dtype" is "int8""#))
    #expect(try gptq(without: "scales").contains(#"tensor "m.scales" is missing"#))
    #expect(try gptq(without: "g_idx") == "fine")
    #expect(try gptq(without: "qweight") == "plain")
    #expect(
      try gptq(with: [("qweight", .int64, [8, 16])]).contains(
        #"tensor "m.qweight" has type int64, expected int32"#))
    #expect(
      try gptq(with: [("qzeros", .int32, [2, 3])]).contains(#""m.qzeros" has shape [2, 3], expected [2, 2]"#))
    #expect(
      try gptq(with: [("qweight", .int32, [8])]).contains(
        #"tensor "m.qweight" has shape [8], expected two dimensions"#))
    #expect(try gptq(["dynamic": ["-:m": [:]]]).contains(#""dynamic" leaves the module out"#))
    #expect(try gptq(["dynamic": ["+:(": [:]]]).contains("the pattern \"(\" cannot be used"))
    #expect(try gptq(["dynamic": ["+:^m$": ["bits": 8]]]).contains("has shape [2, 16], expected [1, 16]"))
  }

  @Test func `act-order`() throws {
    var index = (0..<64).map { Int32($0 % 2) }
    #expect(try gptq(index: index) == "fine")
    index[3] = 2
    #expect(try gptq(index: index).contains("groupIndex[3] is 2, outside 0..<2"))
    index[3] = -1
    #expect(try gptq(index: index).contains("groupIndex[3] is -1, outside 0..<2"))
    index[3] = 0
    #expect(try gptq(index: index).contains("group 0 has 33 input channels where each has 32"))
    #expect(
      try gptq(with: [("g_idx", .int32, [63])], index: [Int32](repeating: 0, count: 63))
        .contains("g_idx has shape [63], expected [64]"))
  }

  @Test func `scales that are no numbers`() throws {
    var scales = [UInt8](repeating: 0, count: 64)
    scales[5] = 0x7E
    #expect(
      try message(Self.gptq(), Self.gptqTensors.filter { $0.0 != "g_idx" }, fill: ["scales": scales])
        .contains("is no finite number"))
  }

  @Test func `AWQ`() throws {
    let json: JSONObject = ["quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"]
    let tensors: [(String, DataType, [Int])] = [
      ("qweight", .int32, [64, 2]), ("qzeros", .int32, [2, 2]), ("scales", .float16, [2, 16]),
    ]
    func changed(_ key: String, _ value: JSONValue) -> JSONValue {
      var json = json
      json[key] = value
      return .object(json)
    }
    #expect(try message(.object(json), tensors) == "fine")
    #expect(try message(changed("version", "gemv_fast"), tensors).contains(#"is "gemv_fast", which is not"#))
    #expect(try message(changed("zero_point", false), tensors).contains("zero_point"))
    #expect(try message(changed("bits", 3), tensors).contains("supported: 4"))
    #expect(try message(changed("version", "gemv"), tensors).contains("a group size of 32 does not"))
  }

  private static func compressed(
    weights: JSONObject = [:], group: JSONObject = [:], top: JSONObject = [:]
  ) -> JSONValue {
    var arguments: JSONObject = [
      "num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": true,
    ]
    for (key, value) in weights { arguments[key] = value }
    var entry: JSONObject = ["targets": ["Linear"], "weights": .object(arguments)]
    for (key, value) in group { entry[key] = value }
    var json: JSONObject = [
      "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
      "ignore": ["lm_head"], "config_groups": ["group_0": .object(entry)],
    ]
    for (key, value) in top { json[key] = value }
    return .object(json)
  }

  @Test func `compressed-tensors`() throws {
    let tensors: [(String, DataType, [Int])] = [
      ("weight_packed", .int32, [16, 8]), ("weight_scale", .bfloat16, [16, 2]), ("weight_shape", .int64, [2]),
    ]
    let shape = [Int64(16), 64].flatMap { value in
      (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    func found(_ json: JSONValue, shape other: [UInt8]? = nil) throws -> String {
      try message(json, tensors, fill: ["weight_shape": other ?? shape])
    }
    #expect(try found(Self.compressed()) == "fine")
    for (json, reason) in [
      (Self.compressed(weights: ["num_bits": 5]), "num_bits\" is 5"),
      (Self.compressed(weights: ["strategy": "tensor_group"]), "tensor_group"),
      (Self.compressed(weights: ["dynamic": "local"]), "dynamic"),
      (Self.compressed(weights: ["actorder": "sideways"]), "sideways"),
      (Self.compressed(weights: ["type": "complex"]), "complex"),
      (Self.compressed(weights: ["group_size": 24]), "a group size of 24 does not divide"),
      (Self.compressed(group: ["output_activations": [:]]), "output_activations"),
      (Self.compressed(group: ["format": "nvfp4-pack-quantized"]), "nvfp4-pack-quantized"),
      (Self.compressed(group: ["targets": ["re:x["]]), "the pattern \"x[\" cannot be used"),
      (Self.compressed(group: ["targets": ["other"]]), "no target matches the module"),
      (Self.compressed(group: ["input_activations": ["num_bits": 4]]), "num_bits\" is 4"),
      (
        Self.compressed(
          group: [
            "input_activations": ["num_bits": 8, "strategy": "token", "dynamic": true, "symmetric": false]
          ]),
        "supported: token (dynamic, symmetric)"
      ),
      (Self.compressed(top: ["ignore": ["m"]]), "\"ignore\" names the module"),
      (Self.compressed(top: ["sparsity_config": ["format": "sparse-24-bitmask"]]), "sparse-24-bitmask"),
      (Self.compressed(top: ["quantization_status": "frozen"]), "frozen"),
      (Self.compressed(top: ["config_groups": .null]), "config_groups\" is missing"),
      (Self.compressed(weights: ["symmetric": false]), "\"m.weight_zero_point\" is missing"),
    ] { #expect(try found(json).contains(reason), "\(reason)") }
    let wide = [Int64(16), 1 << 40].flatMap { value in
      (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    #expect(try found(Self.compressed(), shape: wide).contains("as weight_shape says"))
    #expect(
      try message(Self.compressed(), [("weight", .float16, [16, 64])]).contains(
        "the tensor is missing, though a target of config_groups matches"))
  }

  @Test func `bitsandbytes`() throws {
    let json: JSONValue = ["quant_method": "bitsandbytes", "load_in_8bit": true]
    let tensors: [(String, DataType, [Int])] = [
      ("weight", .int8, [16, 64]), ("SCB", .float32, [16]), ("weight_format", .uint8, []),
    ]
    #expect(try message(json, tensors) == "fine")
    #expect(
      try message(json, tensors, fill: ["weight_format": [1]]).contains("supported: 0, rows as they are"))
    #expect(
      try message(["quant_method": "bitsandbytes", "llm_int8_threshold": -1], tensors).contains("0 or more"))
    let state = "weight.quant_state.bitsandbytes__nf4"
    func fourBit(_ text: String) throws -> String {
      try message(
        json,
        [
          ("weight", .uint8, [512, 1]), ("weight.absmax", .float32, [16]),
          ("weight.quant_map", .float32, [16]),
          (state, .uint8, [text.utf8.count]),
        ], fill: [state: [UInt8](text.utf8)])
    }
    #expect(try fourBit(#"{"shape":[16,64],"blocksize":64}"#) == "fine")
    #expect(try fourBit(#"{"shape":[16,64],"blocksize":48}"#).contains("a group size of 48 does not divide"))
    #expect(try fourBit(#"{"shape":[16,4096],"blocksize":64}"#).contains("two positive integers that fit"))
    #expect(try fourBit(#"{"shape":[16,64]}"#).contains("blocksize\" is missing"))
    #expect(try fourBit("{").contains("a JSON object"))
    #expect(try fourBit(#"{"shape":[16,64],"blocksize":64,"nested_blocksize":256}"#).contains("uint8"))
  }

  @Test func `unknown methods`() throws {
    #expect(
      try message(["quant_method": "hqq"], []).contains(
        #""quantization_config.quant_method" is "hqq", which is not supported; supported: gptq, awq"#))
    #expect(try message([:], []).contains("quant_method\" is missing"))
    #expect(try message("gptq", []).contains("it must be an object"))
  }
}

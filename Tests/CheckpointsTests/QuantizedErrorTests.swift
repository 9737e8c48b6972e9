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
      (Self.compressed(top: ["sparsity_config": ["format": "marlin-24"]]), "marlin-24"),
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

  private static func words(_ values: [Int64]) -> [UInt8] {
    values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
  }

  @Test func `sparse masks`() throws {
    func json(_ format: String, _ ignore: [JSONValue] = []) -> JSONValue {
      [
        "quant_method": "compressed-tensors",
        "sparsity_config": ["format": .string(format), "targets": ["Linear"], "ignore": .array(ignore)],
      ]
    }
    let parts: [(String, DataType, [Int])] = [
      ("compressed", .bfloat16, [2, 8]), ("bitmask", .uint8, [2, 2]), ("shape", .int64, [2, 1]),
    ]
    func pairs(
      _ mask: [UInt8], shape: [Int64] = [2, 16], values: [UInt8]? = nil, format: String = "sparse-24-bitmask",
      ignore: [JSONValue] = []
    ) throws -> String {
      var fill = ["bitmask": mask, "shape": Self.words(shape)]
      fill["compressed"] = values
      return try message(json(format, ignore), parts, fill: fill)
    }
    let good: [UInt8] = [0x35, 0xCA, 0x99, 0x66]
    #expect(try pairs(good) == "fine")
    #expect(try pairs(good, format: "mixed-sparse") == "fine")
    #expect(
      try pairs([0x35, 0xCA, 0x99, 0xF6]).contains(
        "module \"m\": bitmask of row 1 keeps 4 of the inputs 12..<16, where 2:4 keeps 2"))
    #expect(try pairs([0x25, 0xCA, 0x99, 0x66]).contains("bitmask of row 0 keeps 1 of the inputs 4..<8"))
    #expect(try pairs(good, shape: [2, 17]).contains("a bit for each of the 2 × 17 weights"))
    #expect(try pairs(good, shape: [3, 16]).contains("a bit for each of the 3 × 16 weights"))
    #expect(try pairs(good, shape: [2, -1]).contains("a bit for each"))
    #expect(try pairs(good, shape: [2, 12]).contains("m.compressed\" has shape [2, 8], expected [2, 6]"))
    #expect(
      try pairs(good, values: [UInt8](repeating: 0, count: 30) + [0xC0, 0x7F]).contains(
        "compressed values[15] is no finite number"))
    #expect(try pairs(good, format: "sparse-bitmask").contains("tensor \"m.row_offsets\" is missing"))
    #expect(try pairs(good, format: "sparse-40").contains("\"sparse-40\", which is not supported"))
    #expect(try pairs(good, ignore: ["m"]).contains("\"ignore\" of sparsity_config names the module"))

    func rows(_ starts: [Int64], kept: Int = 7, type: DataType = .int64) throws -> String {
      try message(
        json("sparse-bitmask"),
        [
          ("compressed", .float16, [kept]), ("bitmask", .uint8, [2, 2]), ("shape", .int64, [2]),
          ("row_offsets", type, [starts.count]),
        ],
        fill: [
          "bitmask": [0x0F, 0, 0, 0xE0], "shape": Self.words([2, 16]),
          "row_offsets": type == .int64
            ? Self.words(starts) : [UInt8](repeating: 0, count: starts.count * type.byteCount),
        ])
    }
    #expect(try rows([0, 4]) == "fine")
    #expect(
      try rows([0, 5]).contains("row_offsets[1] is 5, but the bitmask of the rows before it ends at 4"))
    #expect(try rows([1, 4]).contains("row_offsets[0] is 1"))
    #expect(try rows([0, -4]).contains("row_offsets[1] is -4"))
    #expect(try rows([0, 4], kept: 8).contains("compressed values has shape [8], expected [7]"))
    #expect(try rows([0, 4, 7]).contains("row_offsets\" has shape [3], expected [2]"))
    #expect(try rows([0, 4], type: .int32).contains("has type int32, expected int64"))
  }

  @Test func `sparse codes`() throws {
    func json(_ changes: JSONObject = [:]) -> JSONValue {
      var weights: JSONObject = [
        "num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": true,
        "sparsity": "2:4",
      ]
      for (key, value) in changes { weights[key] = value }
      return [
        "quant_method": "compressed-tensors", "format": "sparse-pack-quantized",
        "config_groups": ["group_0": ["targets": ["Linear"], "weights": .object(weights)]],
      ]
    }
    let tensors: [(String, DataType, [Int])] = [
      ("weight_packed", .int32, [1, 2]), ("weight_scale", .float16, [1, 2]), ("bitmask", .uint8, [1, 4]),
      ("shape", .int64, [2, 1]),
    ]
    let fill = ["bitmask": [0x33, 0x33, 0x55, 0x33] as [UInt8], "shape": Self.words([1, 32])]
    #expect(try message(json(), tensors, fill: fill) == "fine")
    #expect(
      try message(json(["sparsity": "3:4"]), tensors, fill: fill).contains("supported: 2:4, unstructured"))
    #expect(try message(json(["sparsity": nil]), tensors, fill: fill).contains("sparsity\" is"))
    #expect(
      try message(json(["num_bits": 8]), tensors, fill: fill).contains("has shape [1, 2], expected [1, 4]"))
    #expect(
      try message(json(["group_size": 32]), tensors, fill: fill).contains(
        "weight_scale\" has shape [1, 2], expected [1, 1]"))
    #expect(
      try message(json(), tensors.filter { $0.0 != "bitmask" }, fill: fill).contains(
        "\"m.bitmask\" is missing"))
    // A mask beside codes of another format.
    let dense: JSONValue = [
      "quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": [
        "group_0": [
          "targets": ["Linear"], "weights": ["num_bits": 4, "group_size": 16, "strategy": "group"],
        ]
      ],
    ]
    #expect(try message(dense, tensors, fill: fill).contains("a mask beside dense codes is not supported"))
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

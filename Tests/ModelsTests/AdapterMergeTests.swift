import CPUBackend
import Checkpoints
import Compute
import JSON
import Numerics
import TestSupport
import Testing

@testable import Models

internal import Foundation

/// Adapters merged into their bases, against peft's logits and against the sum taken element by element.
@Suite("Adapter merging")
final class AdapterMergeTests {
  private let folder = FileManager.default.temporaryDirectory.path + "/merge-\(UUID().uuidString)"

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// A copy of a tiny model in another type, in this many files.
  private func copy(_ fixture: String, as type: DataType, files: Int) throws -> Checkpoint {
    let source = try Checkpoint.open(Fixtures.path("tiny/" + fixture))
    let target = "\(folder)/\(fixture)-\(type.rawValue)-\(files)"
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    var index: JSONObject = [:]
    for file in 0..<files {
      let base = files == 1 ? "model.safetensors" : "model-0000\(file + 1)-of-0000\(files).safetensors"
      let names = source.tensorNames.enumerated().filter { $0.offset % files == file }.map(\.element)
      var writer = try SafetensorsWriter(
        path: target + "/" + base,
        tensors: names.map {
          .init(name: $0, dataType: type, shape: source.tensors[$0]?.shape ?? [])
        })
      for name in names {
        index[name] = .string(base)
        let values = try source.rawTensor(name).floats()
        switch type {
        case .float32: try writer.write(name, values)
        case .float16: try writer.write(name, values.map { Float16($0).bitPattern })
        default: try writer.write(name, values.map { BFloat16($0).bitPattern })
        }
      }
      try writer.finish()
    }
    func write(_ json: JSONValue, _ name: String) throws {
      try Data(json.serialized().utf8).write(to: URL(fileURLWithPath: target + "/" + name))
    }
    try write(source.configuration, "config.json")
    if files > 1 { try write(["weight_map": .object(index)], "model.safetensors.index.json") }
    return try Checkpoint.open(target)
  }

  @Test("The merged model's logits are those of peft", arguments: AdapterTests.cases)
  func logits(name: String, base: String) throws {
    // The bases' values are exact in float32, so that nothing is rounded but the merged weights' last bits.
    let source = try copy(base, as: .float32, files: 2)
    let output = folder + "/out"
    let report = try AdapterMerge(source, adapter: Fixtures.path("lora/" + name)).write(to: output)
    #expect(report.roundingShare < 1e-5)
    let tests = AdapterTests()
    let found = try tests.logits(
      try AdapterTests.graph(output, maxRank: 0), [(try tests.golden(name).tokens, 0)])[0]
    let error = try tests.errorAgainstPeft(found, name)
    #expect(error <= 1e-5, "\(error)")
  }

  @Test(
    "Every merged weight is the sum, rounded once to the base's type; everything else is as it was",
    arguments: [("llama-all", "llama"), ("gpt2", "gpt2")], [DataType.float32, .float16, .bfloat16])
  func elements(_ names: (String, String), type: DataType) throws {
    let (name, base) = names
    let source = try copy(base, as: type, files: 3)
    let path = Fixtures.path("lora/" + name)
    let output = folder + "/out"
    let report = try AdapterMerge(source, adapter: path).write(to: output)
    let merged = try Checkpoint.open(output)
    #expect(merged.configuration == source.configuration)
    #expect(
      merged.files.map { $0.path.split(separator: "/").last }
        == source.files.map { $0.path.split(separator: "/").last })
    #expect(merged.tensorNames == source.tensorNames)

    let adapter = try SafetensorsFile(path: path + "/adapter_model.safetensors")
    let settings = try JSONValue.parse(Fixtures.bytes("lora/\(name)/adapter_config.json"))
    var changed = 0
    for tensor in source.tensorNames {
      let before = try source.rawTensor(tensor)
      let after = try merged.rawTensor(tensor)
      #expect(after.dataType == type)
      let module = String(tensor.dropLast(".weight".count))
      let stem = adapter.names.first { $0.hasSuffix(module + ".lora_A.weight") }
      guard tensor.hasSuffix(".weight"), let stem else {
        let isSame = unsafe before.withBytes { a in unsafe after.withBytes { b in unsafe a.elementsEqual(b) }
        }
        #expect(isSame, "\(tensor)")
        continue
      }
      changed += 1
      let down = try adapter.tensor(stem)
      let up = try adapter.tensor(String(stem.dropLast("A.weight".count)) + "B.weight")
      let (rank, inputs, outputs) = (down.shape[0], down.shape[1], up.shape[0])
      // peft's rule, for the layers that no pattern names.
      let pattern = settings["alpha_pattern"]?.object?.first { module.hasSuffix($0.key) }?.value.double
      let alpha = pattern ?? settings["lora_alpha"]?.double ?? 0
      let root = settings["use_rslora"]?.bool == true
      let scale = Double(Float(alpha / (root ? Double(rank).squareRoot() : Double(rank))))
      let (a, b, old, new) = (try down.floats(), try up.floats(), try before.floats(), try after.floats())
      var wrong = 0
      for output in 0..<outputs {
        for input in 0..<inputs {
          var sum = 0.0
          for place in 0..<rank {
            sum += Double(b[output * rank + place]) * Double(a[place * inputs + input])
          }
          let at = base == "gpt2" ? input * outputs + output : output * inputs + input
          let exact = Double(old[at]) + scale * sum
          let expected: Float =
            switch type {
            case .float32: Float(exact)
            case .float16: Float(Float16(exact))
            default: Self.bfloat16(exact)
            }
          if new[at] != expected { wrong += 1 }
        }
      }
      #expect(wrong == 0, "\(tensor)")
    }
    #expect(changed == report.layers && changed > 0)
    #expect(type == .float32 || report.roundingShare > 1e-4)
  }

  /// The nearest bfloat16, ties to even, found by comparing its two neighbours.
  private static func bfloat16(_ value: Double) -> Float {
    let low = Float(bitPattern: Float(value).bitPattern & 0xFFFF_0000)
    let candidates = [-1, 0, 1].map { Float(bitPattern: UInt32(Int64(low.bitPattern) + $0 * 0x10000)) }
    let best = candidates.map { abs(Double($0) - value) }.min() ?? 0
    let nearest = candidates.filter { abs(Double($0) - value) == best }
    return nearest.first { nearest.count == 1 || $0.bitPattern & 0x10000 == 0 } ?? 0
  }

  @Test("Rounding to odd, then once more, is rounding once")
  func rounding() {
    // Half way between two float16, moved by less than float32 can hold.
    let half = 1 + 0x1p-11
    #expect(Float16(AdapterMerge.roundedToOdd(half + 0x1p-40)) == Float16(1 + 0x1p-10))
    #expect(Float16(AdapterMerge.roundedToOdd(half - 0x1p-40)) == 1)
    #expect(Float16(AdapterMerge.roundedToOdd(half)) == 1)
    #expect(Float16(AdapterMerge.roundedToOdd(-half - 0x1p-40)) == Float16(-1 - 0x1p-10))
    #expect(AdapterMerge.roundedToOdd(0) == 0)
    #expect(AdapterMerge.roundedToOdd(1e300) == .infinity)
  }

  @Test("Quantised bases, GGUF, and outputs that exist are refused; what overflows names its place")
  func refused() throws {
    let adapter = Fixtures.path("lora/llama-all")
    let plain = try copy("llama", as: .float16, files: 1)
    let small = folder + "/small"
    try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: true)
    try Data(#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4}"#.utf8).write(
      to: URL(fileURLWithPath: small + "/adapter_config.json"))
    let stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    var file = try SafetensorsWriter(
      path: small + "/adapter_model.safetensors",
      tensors: [
        .init(name: stem + "A.weight", dataType: .float32, shape: [2, 64]),
        .init(name: stem + "B.weight", dataType: .float32, shape: [64, 2]),
      ])
    for part in ["A", "B"] { try file.write(stem + part + ".weight", [Float](repeating: 1, count: 128)) }
    try file.finish()
    do {
      _ = try AdapterMerge(try Checkpoint.open(Fixtures.path("quantized/gptq-4bit")), adapter: small)
      Issue.record("it was taken")
    } catch {
      #expect("\(error)".contains("is quantised"), "\(error)")
    }
    #expect(throws: ModelError.self) {
      try AdapterMerge(plain, adapter: Fixtures.path("lora/nothing"))
    }
    #expect(throws: ModelError.checkpoint(.alreadyExists(path: folder))) {
      _ = try AdapterMerge(plain, adapter: adapter).write(to: folder)
    }
    // A weight near float16's limit, and an adapter that pushes it over.
    let huge = folder + "/huge"
    try FileManager.default.createDirectory(atPath: huge, withIntermediateDirectories: true)
    var settings = try JSONValue.parse(Fixtures.bytes("lora/llama-all/adapter_config.json")).object ?? [:]
    settings["lora_alpha"] = 1_000_000
    settings["alpha_pattern"] = [:]
    try Data(JSONValue.object(settings).serialized().utf8).write(
      to: URL(fileURLWithPath: huge + "/adapter_config.json"))
    let names = try SafetensorsFile(path: adapter + "/adapter_model.safetensors")
    var writer = try SafetensorsWriter(
      path: huge + "/adapter_model.safetensors",
      tensors: try names.names.map { .init(name: $0, dataType: .float32, shape: try names.tensor($0).shape) })
    for name in names.names {
      try writer.write(name, [Float](repeating: 1000, count: try names.tensor(name).elementCount))
    }
    try writer.finish()
    let output = folder + "/out"
    do {
      _ = try AdapterMerge(plain, adapter: huge).write(to: output)
      Issue.record("it was written")
    } catch {
      #expect("\(error)".contains("no finite"), "\(error)")
    }
    let left = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("out") }
    #expect(left.isEmpty, "nothing is left behind: \(left)")
  }
}

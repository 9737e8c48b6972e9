import Checkpoints
import Foundation
import JSON
import Numerics
import TestSupport
import Testing

@Suite struct CheckpointDirectoryTests {
  private func error(_ path: String) -> CheckpointError? {
    do {
      _ = try Checkpoint.open(path)
      return nil
    } catch {
      return error
    }
  }

  @Test func opensASingleFile() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/llama"))
    #expect(checkpoint.kind == .safetensors)
    #expect(checkpoint.configuration["model_type"]?.string == "llama")
    #expect(checkpoint.generationConfiguration?["eos_token_id"]?.int == 2)
    #expect(checkpoint.tensorNames.count == 21)
    #expect(checkpoint.tensorNames == checkpoint.tensorNames.sorted())
    let entry = try #require(checkpoint.tensors["model.layers.0.self_attn.k_proj.weight"])
    #expect(entry.shape == [32, 64])
    #expect(entry.dataType == .bfloat16)
    let tensor = try checkpoint.rawTensor("model.layers.0.self_attn.k_proj.weight")
    #expect(tensor.byteCount == 32 * 64 * 2)
    let bytes = try Fixtures.bytes("tiny/llama/model.safetensors")
    let floats = try tensor.floats()
    for index in floats.indices {
      let place = entry.byteRange.lowerBound + 2 * index
      let bits = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
      #expect(floats[index] == BFloat16(bitPattern: bits).float)
    }
    if case .huggingFaceDirectory(let directory) = checkpoint.tokenizerSource {
      #expect(directory == checkpoint.path)
    } else {
      Issue.record("a directory has its tokenizer beside it")
    }
  }

  @Test(arguments: ["bert-squad", "bert-sst2", "bloom", "gpt2", "llama", "mistral", "qwen2"])
  func opensEveryTinyModel(name: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/\(name)"))
    for name in checkpoint.tensorNames {
      let entry = try #require(checkpoint.tensors[name])
      let tensor = try checkpoint.rawTensor(name)
      #expect(tensor.shape == entry.shape)
      #expect(tensor.byteCount == entry.elementCount * entry.dataType.byteCount)
    }
  }

  @Test func aMissingTensorIsNamed() throws {
    let path = Fixtures.path("tiny/llama")
    let checkpoint = try Checkpoint.open(path)
    #expect(throws: CheckpointError.tensorMissing(name: "nope", path: path)) {
      try checkpoint.rawTensor("nope")
    }
  }

  @Test func tensorsOutliveTheirCheckpoint() throws {
    let tensor = try Checkpoint.open(Fixtures.path("tiny/gpt2")).rawTensor("transformer.ln_f.weight")
    #expect(try tensor.floats().count == 64)
  }

  @Test func whatIsMissingIsSaid() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    #expect(error(path + "/none") == .notFound(path: path + "/none"))
    #expect(error("") == .notFound(path: ""))
    #expect(error(path) == .noConfiguration(directory: path))
    try directory.write("x.gguf", "")
    #expect(error(path) == .foreignWeights(directory: path, file: path + "/x.gguf", kind: .gguf))
    try FileManager.default.removeItem(atPath: directory.file("x.gguf"))
    try directory.write("adapter_config.json", "{}")
    #expect(error(path) == .foreignWeights(directory: path, file: "adapter_config.json", kind: .adapter))
    try directory.write("config.json", "{}")
    try FileManager.default.removeItem(atPath: directory.file("adapter_config.json"))
    #expect(error(path) == .noWeights(directory: path))
    try directory.write("tf_model.h5", "")
    #expect(error(path) == .foreignWeights(directory: path, file: "tf_model.h5", kind: .tensorFlow))
    try directory.write("pytorch_model.bin", "")
    #expect(error(path) == .foreignWeights(directory: path, file: "pytorch_model.bin", kind: .pickle))
    #expect(error(path)?.description.contains("safe_serialization=True") == true)
    try directory.write("a.safetensors", "")
    try directory.write("b.safetensors", "")
    #expect(error(path) == .ambiguousWeights(directory: path, files: ["a.safetensors", "b.safetensors"]))
  }

  @Test func aSingleFileOfAnotherNameWillDo() throws {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    try directory.write("weights.safetensors", SafetensorsSamples.small)
    try directory.write("adapter_model.safetensors", "ignored")
    #expect(try Checkpoint.open(directory.path).tensorNames == ["a", "b", "c"])
  }

  @Test func exitCodesFollowTheKindOfFailure() throws {
    let directory = try TemporaryDirectory()
    #expect(error(directory.path + "/none")?.exitCode == 66)
    #expect(error(directory.path)?.exitCode == 66)
    try directory.write("config.json", "[]")
    #expect(error(directory.path)?.exitCode == 65)
    let file = try directory.write("model.safetensors", SafetensorsSamples.small)
    #expect(error(file) == .notACheckpoint(path: file))
    #expect(error(file)?.exitCode == 65)
  }

  @Test func aConfigurationMustBeAnObjectOfReasonableSize() throws {
    let directory = try TemporaryDirectory()
    let config = directory.file("config.json")
    for text in ["", "[1]", "null", "\"x\"", "{\"a\":1", "{} x"] {
      try directory.write("config.json", text)
      switch error(directory.path) {
      case .json(file: config, _), .configurationIsNoObject(file: config): break
      case let other: Issue.record("\(text) gave \(String(describing: other))")
      }
    }
    try directory.write("config.json", String(repeating: "{\"a\":", count: 200_000))
    guard case .json(file: config, let problem) = error(directory.path) else {
      Issue.record("a deep configuration was accepted")
      return
    }
    #expect(problem.kind == .depthLimit(512))
    let handle = try #require(FileHandle(forWritingAtPath: config))
    try handle.truncate(atOffset: 1 << 33)
    #expect(error(directory.path) == .tooLarge(file: config, bytes: 1 << 33, limit: 64 << 20))
  }

  @Test func theGenerationConfigurationMustBeAnObject() throws {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    try directory.write("model.safetensors", SafetensorsSamples.small)
    #expect(try Checkpoint.open(directory.path).generationConfiguration == nil)
    try directory.write("generation_config.json", "3")
    #expect(error(directory.path) == .configurationIsNoObject(file: directory.file("generation_config.json")))
  }

  @Test func elementsAtOddPlacesAreCopiedToAlignedOnes() throws {
    // The header has 61 bytes: the float begins at an odd address of the mapping.
    let header = #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"# + String(repeating: " ", count: 7)
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    try directory.write(
      "model.safetensors", SafetensorsSamples.file(header: header, data: [0, 0, 0x20, 0xC1]))
    let tensor = try Checkpoint.open(directory.path).rawTensor("x")
    let misalignment = unsafe tensor.withBytes { bytes in UInt(bitPattern: bytes.baseAddress) % 4 }
    #expect(misalignment == 0)
    #expect(try tensor.floats() == [-10])
  }
}

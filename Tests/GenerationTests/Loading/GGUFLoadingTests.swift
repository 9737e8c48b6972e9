import CPUBackend
import JSON
import Numerics
import TestSupport
import Testing
import Tokenizers

@testable import Generation

@Suite struct GGUFLoadingTests {
  @Test(
    "A GGUF file answers like the checkpoint it was made from",
    arguments: [
      ("llama-bf16", "llama"), ("gpt2-f32", "gpt2"), ("qwen2-bf16", "qwen2"), ("bloom-f16", "bloom"),
    ])
  func sameAnswers(file: String, original: String) throws {
    let model = try LoadedModel.open(Fixtures.path("gguf/\(file).gguf"))
    let expected = try JSONValue.parse(Fixtures.bytes("tiny/\(original)/expected.json"))
    var options = LoadingOptions()
    options.maxModelLength = 128
    options.maxSequences = 4
    let reservation = try model.reservation(
      on: .init(name: "cpu", activationType: .float32, availableBytes: nil), options)
    let engine = try model.startEngine(reservation, EngineOptions()) { CPUBackend(threads: 1) }
    defer { engine.stop() }
    let prompts = try #require(expected["prompts"]?.array)
    for item in prompts {
      let text = try #require(item["text"]?.string)
      let ids = try #require(item["input_ids"]?.array).compactMap { $0.int.map { Int32($0) } }
      #expect(try model.tokenizer.encode(text) == ids)
      let greedy = try #require(item["greedy_tokens"]?.array).compactMap { $0.int.map { Int32($0) } }
      if ids.count + greedy.count > 128 { continue }
      let request = GenerationRequest(ids, max: greedy.count, temperature: 0)
      #expect(try engine.answer(request).tokens[0] == greedy)
    }
  }
}

import Checkpoints
import Models
import TestSupport
import Testing

/// A model read from GGUF is the model it was converted from.
@Suite struct GGUFModelTests {
  @Test(arguments: [
    ("gguf/gpt2-f32.gguf", "tiny/gpt2"), ("gguf/llama-bf16.gguf", "tiny/llama"),
    ("gguf/mistral-f16.gguf", "tiny/mistral"), ("gguf/qwen2-bf16.gguf", "tiny/qwen2"),
    ("gguf/bloom-f16.gguf", "tiny/bloom"),
  ])
  func `unquantised GGUF gives the bits of the Hugging Face checkpoint`(
    _ file: String, _ fixture: String
  ) throws {
    let golden = try Golden(fixture)
    for prompt in golden.prompts {
      let converted = try ModelRunner(file).logits(prompt.tokens)
      let original = try ModelRunner(fixture).logits(prompt.tokens)
      #expect(converted.map(\.bitPattern) == original.map(\.bitPattern))
    }
  }

  @Test(arguments: [("gguf/llama-q8_0.gguf", Float(0.03)), ("gguf/llama-q4_0.gguf", Float(0.5))])
  func `quantised GGUF stays near the original, as far as its bits allow`(
    _ file: String, _ tolerance: Float
  ) throws {
    for prompt in try Golden("tiny/llama").prompts {
      let runner = try ModelRunner(file)
      let deviation = Deviation(
        try runner.logits(prompt.tokens), prompt.logits, vocabulary: runner.vocabulary)
      #expect(deviation.relative < tolerance)
      #expect(deviation.relative > 1e-3, "quantisation must show")
    }
  }
}

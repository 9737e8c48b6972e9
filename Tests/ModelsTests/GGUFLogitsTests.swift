import Checkpoints
import Models
import TestSupport
import Testing

/// GGUF files hold the same models in llama.cpp's layouts; see Scripts/goldens/gguf_fixtures.py.
@Suite struct GGUFLogitsTests {
  @Test(arguments: [
    ("gguf/llama-bf16", "tiny/llama"), ("gguf/mistral-f16", "tiny/mistral"),
    ("gguf/qwen2-bf16", "tiny/qwen2"),
    ("gguf/gpt2-f32", "tiny/gpt2"), ("gguf/bloom-f16", "tiny/bloom"),
    ("gguf/llama3-rope-f32", "families/llama-rope-llama3"),
  ])
  func `an unquantised file computes what its source does`(_ file: String, _ source: String) throws {
    let golden = try Golden(source)
    let runner = try ModelRunner(try Checkpoint.open(Fixtures.path(file + ".gguf")))
    for (index, prompt) in golden.prompts.enumerated() {
      let logits = try runner.logits(prompt.tokens)
      let deviation = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary)
      #expect(deviation.relative < 1e-4, "prompt \(index)")
      #expect(deviation.differingArgmax.isEmpty, "prompt \(index)")
    }
  }

  /// Rope factors stored instead of their rule are the one thing that may round otherwise.
  @Test(arguments: [
    ("gguf/llama-bf16", "tiny/llama"), ("gguf/mistral-f16", "tiny/mistral"),
    ("gguf/qwen2-bf16", "tiny/qwen2"),
    ("gguf/gpt2-f32", "tiny/gpt2"), ("gguf/bloom-f16", "tiny/bloom"),
  ])
  func `an unquantised file gives the bits of its source`(_ file: String, _ source: String) throws {
    for prompt in try Golden(source).prompts {
      let converted = try ModelRunner(file + ".gguf").logits(prompt.tokens)
      let original = try ModelRunner(source).logits(prompt.tokens)
      #expect(converted.map(\.bitPattern) == original.map(\.bitPattern))
    }
  }

  /// Random weights are the worst case for rounding; what counts is that blocks are not misplaced.
  @Test(arguments: [("gguf/llama-q8_0", Float(0.03)), ("gguf/llama-q4_0", 0.4)])
  func `a quantised file stays near its source`(_ file: String, _ limit: Float) throws {
    let golden = try Golden("tiny/llama")
    let runner = try ModelRunner(try Checkpoint.open(Fixtures.path(file + ".gguf")))
    let prompt = golden.prompts[0]
    let deviation = Deviation(
      try runner.logits(prompt.tokens), prompt.logits, vocabulary: runner.vocabulary)
    #expect(deviation.relative < limit)
    #expect(deviation.relative > 1e-4)
  }
}

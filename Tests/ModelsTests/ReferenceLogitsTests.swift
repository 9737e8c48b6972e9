import Checkpoints
import Models
import TestSupport
import Testing

/// Logits and greedy continuations against transformers in float32 (see the fixtures' README and
/// Scripts/goldens/models.py).
@Suite struct ReferenceLogitsTests {
  @Test(arguments: [
    "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2",
    "families/llama-rope-linear", "families/llama-rope-dynamic", "families/llama-rope-llama3",
    "families/llama-rope-yarn", "families/llama-rope-yarn-mscale",
    "families/llama-rope-yarn-attention-factor",
    "families/llama-biases", "families/llama-mqa-tied", "families/llama-no-prefix",
    "families/mistral-window-1", "families/mistral-window-5", "families/mistral-window-16",
    "families/qwen2-window", "families/qwen2-window-off", "families/gpt2-odd", "families/gpt2-no-prefix",
    "families/bloom-3-heads", "families/bloom-5-heads", "families/bloom-12-heads",
    "families/gpt-neox-parallel", "families/gpt-neox-serial",
  ])
  func `logits and greedy tokens are those of transformers`(_ fixture: String) throws {
    let golden = try Golden(fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    #expect(!golden.prompts.isEmpty)
    for (index, prompt) in golden.prompts.enumerated() {
      let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
      let length = prompt.modelLength ?? min(configuration.maxPositions, 256)
      let runner = try ModelRunner(checkpoint, modelLength: length)
      let logits = try runner.logits(prompt.tokens)
      let deviation = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary)
      #expect(deviation.relative < 1e-4, "prompt \(index)")
      #expect(deviation.differingArgmax.isEmpty, "prompt \(index)")
      if !prompt.greedy.isEmpty {
        #expect(
          try runner.greedy(prompt.tokens, count: prompt.greedy.count) == prompt.greedy, "prompt \(index)")
      }
    }
  }

  @Test func `dynamic rope scaling follows the served length, not the prompt's`() throws {
    let golden = try Golden("families/llama-rope-dynamic")
    let checkpoint = try Checkpoint.open(golden.directory)
    let short = try ModelRunner(checkpoint, modelLength: 24).logits(golden.prompts[0].tokens)
    let shorter = try ModelRunner(checkpoint, modelLength: 30).logits(golden.prompts[0].tokens)
    #expect(Deviation(short, golden.prompts[0].logits, vocabulary: 72).relative < 1e-4)
    #expect(Deviation(shorter, golden.prompts[0].logits, vocabulary: 72).relative > 1e-3)
  }
}

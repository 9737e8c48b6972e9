import CPUBackend
import Checkpoints
import Models
import Numerics
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
    "families/llama-sink-logits",
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

  /// How far rounding moves the logits is the model's affair: the same model with rounded operands and float32
  /// products tells (2e-3 to 4e-2 of the greatest logit). Sums in another order move a value across a rounding
  /// border now and then.
  @Test(arguments: ["tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2"])
  func `logits in bfloat16 products are those of transformers up to its rounding`(_ fixture: String) throws {
    let golden = try Golden(fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    for (index, prompt) in golden.prompts.enumerated() {
      let runner = try ModelRunner(checkpoint, backend: CPUBackend(threads: 1, productType: .bfloat16))
      let rounding = try ModelRunner(checkpoint, backend: SpyBackend(roundsOperands: true))
      let logits = try runner.logits(prompt.tokens)
      let rounded = try rounding.logits(prompt.tokens)
      let caused = Deviation(rounded, prompt.logits, vocabulary: runner.vocabulary).relative
      let found = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary).relative
      let between = Deviation(logits, rounded, vocabulary: runner.vocabulary).relative
      // A few of the roundings move less than all of them.
      #expect(between < caused, "prompt \(index)")
      #expect(found < 1.25 * caused, "prompt \(index)")
      // The rounding must have happened.
      #expect(found > 1e-4, "prompt \(index)")
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

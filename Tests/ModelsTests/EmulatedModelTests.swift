import Checkpoints
import KernelBackend
import Models
import Numerics
import TestSupport
import Testing

/// Whole models through the CUDA kernels under their emulation, against transformers in float32.
@Suite struct EmulatedModelTests {
  /// Every norm, position scheme, activation, block form and mask that the families have.
  static let fixtures = [
    "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "families/llama-rope-yarn",
    "families/llama-biases", "families/bloom-3-heads",
  ]

  @Test(arguments: fixtures, DataType.sixteenBit)
  func `logits are those of transformers but for rounding`(_ fixture: String, _ type: DataType) throws {
    let golden = try Golden(fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    for prompt in golden.prompts.prefix(1) {
      let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
      let length = prompt.modelLength ?? min(configuration.maxPositions, 256)
      let backend = try KernelBackend(.emulated, activationType: type, workers: 2)
      let runner = try ModelRunner(checkpoint, modelLength: length, backend: backend)
      let logits = try runner.logits(prompt.tokens)
      let deviation = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary)
      // Two layers round about twenty times on the way of a value, each time by up to 2⁻⁸ (bfloat16) or 2⁻¹¹ (float16)
      // of it; found: at most 0.036 and 0.0047 of the greatest logit.
      #expect(deviation.relative < (type == .bfloat16 ? 0.06 : 0.06 / 8), "\(deviation.relative)")
    }
  }
}

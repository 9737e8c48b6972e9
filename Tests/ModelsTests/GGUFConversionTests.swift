import Checkpoints
import Compute
import Foundation
import JSON
import Models
import Numerics
import TestSupport
import Testing

/// Hugging Face checkpoints written as GGUF and read again.
@Suite struct GGUFConversionTests {
  /// A file of its own, removed with this object.
  private final class File {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).gguf").path
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  private static let tokenizer = Fixtures.path("demo")

  private func convert(_ fixture: String, _ type: GGMLType, _ file: File) throws -> Checkpoint {
    let source = try Checkpoint.open(Fixtures.path(fixture))
    try GGUFConversion(source, type: type).write(to: file.path, tokenizer: Self.tokenizer)
    return try Checkpoint.open(file.path)
  }

  /// Weights of the fixtures are rounded to their type, so F32 keeps them and the logits are the fixture's.
  @Test(arguments: [
    "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "families/llama-rope-linear",
    "families/llama-rope-llama3", "families/llama-biases", "families/llama-mqa-tied",
    "families/mistral-window-5", "families/qwen2-window-off", "families/bloom-3-heads",
  ]) func `logits stay those of transformers`(_ fixture: String) throws {
    let golden = try Golden(fixture)
    let file = File()
    if fixture == "families/llama-mqa-tied" {
      // llama.cpp knows no other activation of a Llama.
      #expect {
        try convert(fixture, .f32, file)
      } throws: { "\($0)".contains(#""hidden_act" is "gelu_pytorch_tanh""#) }
      return
    }
    let checkpoint = try convert(fixture, .f32, file)
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    for prompt in golden.prompts {
      let runner = try ModelRunner(checkpoint, modelLength: min(configuration.maxPositions, 256))
      let logits = try runner.logits(prompt.tokens)
      let deviation = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary)
      #expect(deviation.relative < 1e-4)
      #expect(deviation.differingArgmax.isEmpty)
    }
  }

  @Test func `learned sinks are refused, as GGUF's llama has no place for them`() throws {
    #expect {
      try convert("families/llama-sink-logits", .f32, File())
    } throws: { "\($0)".contains("model.layers.0.self_attn.sinks") }
  }

  /// Blocks stay blocks in the graph: the inventory counts their bytes, and logits are near.
  @Test(arguments: [(GGMLType.q80, 0.02), (.q40, 0.3), (.q6K, 0.05), (.q4K, 0.3)])
  func `quantised files run as they are`(_ type: GGMLType, _ tolerance: Double) throws {
    let file = File()
    let checkpoint = try convert("demo", type, file)
    let plain = try Checkpoint.open(Fixtures.path("demo"))
    let tokens = (0..<24).map { Int32($0 * 37 % 4000) }
    let expected = try ModelRunner(plain, modelLength: 32).logits(tokens)
    let runner = try ModelRunner(checkpoint, modelLength: 32)
    let deviation = Deviation(try runner.logits(tokens), expected, vocabulary: runner.vocabulary)
    #expect(Double(deviation.relative) < tolerance)
    // 640 inputs are no whole K-blocks.
    let isK = type == .q6K || type == .q4K
    #expect(try checkpoint.linear("model.layers.0.mlp.down_proj")?.scheme == .gguf(isK ? .q80 : type))
    #expect(try checkpoint.linear("model.layers.0.self_attn.q_proj")?.scheme == .gguf(type))
  }

  @Test func `quantised codes are kept or refused`() throws {
    let file = File()
    // Groups of 32, symmetric, float16 scales.
    let checkpoint = try convert("quantized/gptq-4bit", .f16, file)
    let golden = try Golden("quantized/gptq-4bit")
    let prompt = try #require(golden.prompts.first)
    let runner = try ModelRunner(checkpoint, modelLength: 32)
    let deviation = Deviation(try runner.logits(prompt.tokens), prompt.logits, vocabulary: runner.vocabulary)
    #expect(deviation.relative < 1e-4)
    #expect(try checkpoint.linear("model.layers.0.self_attn.q_proj")?.scheme == .gguf(.q40))
    #expect { try convert("quantized/awq-gemm", .f16, File()) } throws: {
      "\($0)".contains("no block holds int4 in groups of 32")
    }
    #expect { try convert("families/gpt-neox-serial", .f16, File()) } throws: {
      "\($0)".contains(#""architectures" is "GPTNeoXForCausalLM", which is not supported"#)
    }
  }

  @Test func `rows that are no blocks are named`() throws {
    let source = try Checkpoint.open(Fixtures.path("demo"))
    let conversion = try GGUFConversion(source, type: .q4K)
    #expect(conversion.fallbacks.count == 6)
    #expect(conversion.fallbacks.allSatisfy { $0.hasSuffix("down_proj.weight") })
    #expect(throws: CheckpointError.alreadyExists(path: Self.tokenizer)) {
      try conversion.write(to: Self.tokenizer, tokenizer: Self.tokenizer)
    }
    #expect(throws: CheckpointError.notFound(path: "/nowhere/tokenizer.json")) {
      try conversion.write(to: File().path, tokenizer: "/nowhere")
    }
  }
}

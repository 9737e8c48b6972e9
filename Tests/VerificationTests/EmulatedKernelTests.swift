import CPUBackend
import Checkpoints
import Compute
import KernelBackend
import Models
import Numerics
import TestSupport
import Testing
import Verification

/// The CUDA kernels, emulated, against the CPU: what `gpuinfer verify` does on a machine without a GPU.
@Suite("Emulated kernels", .serialized)
struct EmulatedKernelTests {
  private static let decoders = [
    "tiny/llama", "tiny/mistral", "tiny/qwen2", "tiny/gpt2", "tiny/bloom", "quantized/gptq-4bit-asym",
    "quantized/ct-w4a16-asym-act-order", "quantized/ct-sparse-24",
  ]

  @Test(arguments: [DataType.bfloat16, .float16])
  func `every kernel is within rounding of the CPU on every shape`(_ type: DataType) throws {
    let kernels = try KernelBackend(.emulated, activationType: type, workers: 2)
    // float16 runs the same code: a few shapes of each operation will do.
    let cases =
      type == .bfloat16
      ? OperationSweep.cases
      : OperationName.allCases.flatMap { name in
        OperationSweep.cases.filter { $0.operation == name }.prefix(6)
      }
    let rows = try OperationSweep(reference: CPUBackend(threads: 2), candidate: kernels).run(cases)
    for row in rows { #expect(!row.isBreach, "\(row)") }
    if type == .bfloat16 {
      let named = Set(rows.compactMap(\.variant).flatMap { $0.split(separator: " ").map(String.init) })
      for variant in kernels.library.variants where kernels.device.reasonUnavailable(variant) == nil {
        #expect(named.contains(variant.name), "no case reaches \(variant.name)")
      }
    }
  }

  @Test(arguments: decoders)
  func `a model's layers and tokens agree with the CPU`(_ fixture: String) throws {
    try compare(fixture)
  }

  /// Codes that kernels multiply, with activations rounded and not, and stores that are widened.
  @Test(arguments: [
    "ct-w8a8", "ct-w8a8-static", "ct-fp8-dynamic", "ct-fp8-block", "bnb-int8", "bnb-nf4",
    "ct-sparse-bitmask",
  ])
  func `a quantised model's layers and tokens agree with the CPU`(_ fixture: String) throws {
    try compare("quantized/" + fixture)
  }

  @Test(arguments: DataType.cacheCodes)
  func `a model with a cache of codes agrees with the CPU`(_ type: DataType) throws {
    try compare("tiny/llama", cacheType: type)
  }

  private func compare(_ fixture: String, cacheType: DataType? = nil) throws {
    let kernels = try KernelBackend(.emulated, workers: 2)
    let cpu = CPUBackend(threads: 2)
    let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
    func graph(_ backend: any Backend, _ floats: DataType? = nil) throws -> ModelGraph {
      try ModelGraph(
        checkpoint: checkpoint, backend: backend,
        limits: ModelLimits(
          maxBatchTokens: 64, maxSequences: 1, maxModelLength: 64, maxLogitRows: 64,
          cacheType: cacheType ?? floats))
    }
    let prompt = SeededTokens.prompts(lengths: [21], vocabulary: 72, seed: 3)[0]
    let tested = try graph(kernels)
    let rows = try LayerTrace(
      reference: try graph(
        RoundedBackend(cpu, weightType: .bfloat16) { KernelBackend.widening(of: $0) }, .bfloat16),
      candidate: tested
    ).run(prompt)
    for row in rows { #expect(!row.isBreach, "\(row)") }
    let known = RoundedBackend.ofTexts(cpu) { KernelBackend.widening(of: $0) }
    let tokens = try GreedyComparison(reference: try graph(known), candidate: tested).run(prompt, count: 6)
    #expect(!tokens.isBreach, "\(tokens)")
  }
}

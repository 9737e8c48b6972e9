internal import Checkpoints
internal import Compute
internal import Generation
internal import KernelBackend
internal import Models
internal import Numerics
internal import Tokenizers
internal import Verification

/// `gpuinfer verify`: does the device compute what the CPU computes?
enum VerifyCommand: Command {
  static let specification = CommandSpecification(
    name: "verify", summary: "Check a device's kernels and a model on it against the CPU.",
    positionals: [.model],
    options: [
      .value("--reference", "DEVICE", default: "cpu", "The side that is right: cpu."),
      .value("--candidate", "DEVICE", default: "cuda, else simt", "The side under test: cuda, simt or cpu."),
      .repeated("--only", "PART", "Only this part: primitives, operations, layers or tokens."),
      .value(
        "--text", "FILE", "Take the prompts from this text instead of the built-in ones; - is standard input."
      ),
      .value("--prompts", "N", default: "3", "How many prompts."),
      .value("--max-tokens", "N", default: "12", "Tokens that the candidate writes after each prompt."),
      .value("--seed", "S", default: "1", "Of the operands and the built-in prompts."),
      .flag("--json", "Print one JSON document."),
      CacheTypeFlag.option, QuantizationFlag.option,
      DeviceChoice.threadsOption,
    ],
    discussion: """
      Four parts. primitives: each hardware primitive on a GPU against its emulation, bit for bit where the hardware's
      results are specified. operations: every operation, kernel and shape, against the bound that rounding sets. layers: the
      model activation by activation, both sides fed what the reference computed, so that the first wrong operation is
      named. tokens: what the candidate writes greedily; each of its tokens must be within half a nat of the
      reference's choice on the same prefix. Exit code 1 when any check fails.
      """)

  private enum Part: String, CaseIterable { case primitives, operations, layers, tokens }

  static func run(_ arguments: ParsedArguments) throws {
    let parts = try parts(arguments)
    let count = try arguments.integer("--prompts", in: 1...1000) ?? 3
    let maxTokens = try arguments.integer("--max-tokens", in: 1...4096) ?? 12
    let seed = try arguments.integer("--seed", in: 0...Int.max) ?? 1
    let threads = try arguments.integer(DeviceChoice.threadsOption.name, in: 1...1024)
    let named = try arguments.choice("--reference", as: Device.self) ?? .cpu
    guard named == .cpu else {
      throw UsageError.invalidValue(
        option: "--reference", value: named.rawValue,
        expected: "cpu, the only backend that is checked against others")
    }
    let usesModel = parts.contains(.layers) || parts.contains(.tokens)
    let path = try usesModel ? ModelPath.resolve(arguments.positional(0)) : nil
    let checkpoint = try path.map { try Checkpoint.open($0) }
    let reference = try DeviceChoice((.cpu, nil), threads: threads).makeBackend(for: checkpoint)
    let device = try DeviceChoice(candidate(arguments), threads: threads)
    let candidate = try device.makeBackend(for: checkpoint)

    var report = VerificationReport(
      reference: reference.name, candidate: candidate.name, elementType: candidate.activationType.rawValue)
    if parts.contains(.primitives) { try comparePrimitives(of: candidate, into: &report) }
    if parts.contains(.operations) {
      var progress = ProgressLine("operation", total: OperationSweep.cases.count)
      report.operations = try OperationSweep(
        reference: reference, candidate: candidate, seed: UInt64(seed)
      ).run { done, _ in progress.update(done) }
    }
    if let checkpoint {
      report.model = path
      let prompts = try prompts(arguments, checkpoint, count: count, seed: seed)
      let longest = (prompts.map(\.count).max() ?? 1) + maxTokens
      // Of codes both sides keep the same, so that only the arithmetic is compared.
      let cacheType = try CacheTypeFlag.type(arguments, on: device.profile(for: checkpoint))
      var limits = ModelLimits(
        maxBatchTokens: longest, maxSequences: 1, maxModelLength: longest, maxLogitRows: min(longest, 16),
        cacheType: cacheType)
      limits.quantization = try QuantizationFlag.quantization(arguments)
      let tested = try ModelGraph(checkpoint: checkpoint, backend: candidate, limits: limits)
      let capability = (candidate as? KernelBackend)?.device.capability
      let widening: (LinearWeight.Store) -> String? = { store in
        capability.flatMap { KernelBackend.widening(of: store, capability: $0) }
      }
      if parts.contains(.layers) {
        let type = candidate.activationType
        var rounded = limits
        rounded.cacheType = cacheType ?? type
        let widened = RoundedBackend(reference, weightType: type, widening: widening)
        let known = try ModelGraph(checkpoint: checkpoint, backend: widened, limits: rounded)
        report.notes = widened.widened.map { stored, reason, layers in
          "\(layers) layers of \(stored) are widened to 16 bits (\(reason)); the reference computes with the same weights"
        }
        let trace = LayerTrace(reference: known, candidate: tested)
        var progress = ProgressLine("layer trace", total: prompts.count)
        for (index, prompt) in prompts.enumerated() {
          report.layers += try trace.run(prompt)
          progress.update(index + 1)
        }
      }
      if parts.contains(.tokens) {
        let known = try ModelGraph(
          checkpoint: checkpoint, backend: RoundedBackend.ofTexts(reference, widening: widening),
          limits: limits)
        let comparison = GreedyComparison(reference: known, candidate: tested)
        var progress = ProgressLine("prompt", total: prompts.count)
        for (index, prompt) in prompts.enumerated() {
          report.texts.append(try comparison.run(prompt, count: maxTokens))
          progress.update(index + 1)
        }
      }
    }
    Console.write(arguments.has("--json") ? report.json : report.text)
    // The report says it all.
    if report.breaches > 0 { throw Failure(.checkFailed, "") }
  }

  private static func comparePrimitives(
    of candidate: any Backend, into report: inout VerificationReport
  ) throws {
    guard let device = candidate as? KernelBackend, device.name != KernelLibrary.emulated.name else {
      report.primitivesNote = "not compared: the emulation cannot be compared with itself; this needs a GPU"
      return
    }
    let emulation = try KernelBackend(.emulated, activationType: device.activationType)
    report.primitives = PrimitiveConformance(emulation: emulation, device: device).run()
  }

  /// A comparison of the CPU with itself would prove nothing, so without a GPU its kernels are emulated.
  private static func candidate(
    _ arguments: ParsedArguments
  ) throws -> (device: Device, kernels: DeviceKernels?) {
    let chosen = try arguments.choice("--candidate", as: Device.self) ?? .auto
    guard chosen == .auto else { return try chosen.resolved() }
    do throws(KernelLibraryError) {
      return (.cuda, try Device.cuda.kernels())
    } catch {
      Console.error("emulating the kernels: \(error)")
      return try Device.simt.resolved()
    }
  }

  private static func parts(_ arguments: ParsedArguments) throws -> [Part] {
    let names = arguments.strings("--only")
    if names.isEmpty { return Part.allCases }
    return try names.map { name in
      guard let part = Part(rawValue: name) else {
        throw UsageError.invalidValue(
          option: "--only", value: name, expected: Part.allCases.map(\.rawValue).joined(separator: ", "))
      }
      return part
    }
  }

  /// Windows of a text, or seeded ids: a kernel is as right for nonsense, and no tokenizer is needed.
  private static func prompts(
    _ arguments: ParsedArguments, _ checkpoint: Checkpoint, count: Int, seed: Int
  ) throws -> [[Int32]] {
    let vocabulary = try ModelRegistry.configuration(from: checkpoint.configuration).vocabularySize
    // Within one block, over several, and one token more than blocks hold.
    let lengths = (0..<count).map { [11, 49, 27][$0 % 3] }
    guard let path = arguments.string("--text") else {
      return SeededTokens.prompts(lengths: lengths, vocabulary: vocabulary, seed: UInt64(seed))
    }
    let tokens = try LoadedTokenizer.load(checkpoint).encode(try Files.read(path), addSpecialTokens: false)
    guard tokens.count >= 2 else {
      throw Failure(.badData, "\(path) has \(tokens.count) tokens; a prompt needs at least 2")
    }
    if let id = tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw Failure(.badData, "the tokenizer gives token \(id), which the model does not have")
    }
    return lengths.enumerated().map { index, length in
      let start = tokens.count > length ? (tokens.count - length) * index / max(1, count - 1) : 0
      return Array(tokens[start..<min(start + length, tokens.count)])
    }
  }
}
